import pytest
import torch

from floodseg.errors import ConfigError
from floodseg.system.environment import cpu_computes_bf16
from floodseg.training import precision
from floodseg.training.precision import resolve_precision


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ("fpu sse4_2 avx512f avx512_bf16", True),
        ("fpu avx512f amx_bf16 amx_tile", True),
        ("fpu sse4_2 avx2 avx512f", False),
        ("", False),
    ],
)
def test_bf16_is_read_from_the_flags_of_the_cpu(tmp_path, flags, expected):
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text(f"processor\t: 0\nmodel name\t: A CPU\nflags\t\t: {flags}\n", encoding="utf-8")
    assert cpu_computes_bf16(cpuinfo) is expected


def test_a_system_without_cpuinfo_has_no_bf16(tmp_path):
    assert cpu_computes_bf16(tmp_path / "absent") is False


@pytest.mark.parametrize(("has_bf16", "expected"), [(True, "bf16"), (False, "no")])
def test_auto_on_a_cpu_takes_bf16_where_the_hardware_has_it(monkeypatch, has_bf16, expected):
    monkeypatch.setattr(precision, "cpu_computes_bf16", lambda: has_bf16)
    assert resolve_precision("auto", "cpu") == expected


@pytest.mark.parametrize(("has_bf16", "expected"), [(True, "bf16"), (False, "fp16")])
def test_auto_on_a_gpu_never_falls_back_to_fp32(monkeypatch, has_bf16, expected):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: has_bf16)
    assert resolve_precision("auto", "cuda") == expected


def test_what_is_asked_for_is_taken():
    assert resolve_precision("fp32", "cpu") == resolve_precision("fp32", "cuda") == "no"
    assert resolve_precision("bf16", "cpu") == resolve_precision("bf16", "cuda") == "bf16"
    assert resolve_precision("fp16", "cuda") == "fp16"


def test_fp16_on_a_cpu_is_refused_with_the_way_out():
    with pytest.raises(ConfigError, match=r"`precision=fp16` on a CPU.*use bf16, fp32 or auto"):
        resolve_precision("fp16", "cpu")
