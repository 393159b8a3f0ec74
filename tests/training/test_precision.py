import pytest
import torch

from floodseg.errors import ConfigError
from floodseg.system.environment import cpu_computes_bf16
from floodseg.training import prepare
from floodseg.training.prepare import resolve_precision


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ("fpu sse4_2 avx512f avx512_bf16", True),
        ("fpu avx512f amx_bf16 amx_tile", True),
        ("fpu sse4_2 avx2 avx512f", False),
        ("", False),
    ],
)
def test_bf16_support_is_read_from_cpu_flags(tmp_path, flags, expected):
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text(f"processor\t: 0\nmodel name\t: A CPU\nflags\t\t: {flags}\n", encoding="utf-8")
    assert cpu_computes_bf16(cpuinfo) is expected


def test_bf16_is_off_without_cpuinfo(tmp_path):
    assert cpu_computes_bf16(tmp_path / "absent") is False


@pytest.mark.parametrize(("has_bf16", "expected"), [(True, "bf16"), (False, "fp32")])
def test_auto_on_a_cpu_is_bf16_if_supported(monkeypatch, has_bf16, expected):
    monkeypatch.setattr(prepare, "cpu_computes_bf16", lambda: has_bf16)
    assert resolve_precision("auto", "cpu") == expected


@pytest.mark.parametrize(("has_bf16", "expected"), [(True, "bf16"), (False, "fp16")])
def test_auto_on_a_gpu_is_bf16_or_fp16(monkeypatch, has_bf16, expected):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: has_bf16)
    assert resolve_precision("auto", "cuda") == expected


def test_an_explicit_precision_is_used():
    assert resolve_precision("fp32", "cpu") == resolve_precision("fp32", "cuda") == "fp32"
    assert resolve_precision("bf16", "cpu") == resolve_precision("bf16", "cuda") == "bf16"
    assert resolve_precision("fp16", "cuda") == "fp16"


def test_fp16_on_a_cpu_is_refused():
    with pytest.raises(ConfigError, match=r"`precision=fp16` on a CPU: needs a GPU; use bf16, fp32 or auto"):
        resolve_precision("fp16", "cpu")
