"""``floodseg.export``: a model as a file that other runtimes run, kept only when it does what the model does."""

import json
import os
import pickle
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from floodseg import errors
from floodseg.config import DataConfig, Layout
from floodseg.errors import ConfigError, FloodsegError
from floodseg.files import require_writable
from floodseg.inference.exported import SUFFIXES, ExportFormat, ExportPrecision
from floodseg.models.checkpoint import save_folder
from floodseg.models.model import FloodModel
from floodseg.release.conversion.job import NOTE, Job
from floodseg.release.shipped import load_model

_NEEDS: dict[ExportFormat, tuple[str, ...]] = {
    "onnx": ("onnx", "onnxscript", "onnxruntime"),
    "openvino": ("onnx", "onnxscript", "openvino"),
}


def export(
    model: str | Path | FloodModel,
    *,
    format: ExportFormat,
    out: str | Path,
    precision: ExportPrecision = "fp32",
    data: str | Path | None = None,
    layout: Layout | None = None,
    split: str = "valid",
    config: DataConfig | None = None,
    show_progress: bool = False,
) -> dict[str, Any]:
    """Write a model as an ONNX file, or as an OpenVINO ``.xml`` with its ``.bin``; ``docs/export.md`` has the contract.

    The file is compared with the model before it takes its name: fp32 on simulated images with odd sizes and garbage at
    invalid pixels (within 1e-3 everywhere), bf16 alike (within 1e-2 on 99.9 % of the pixels), both on ``data``, too,
    where that is given; int8 by its water IoU on ``data`` (at most 0.003 below).

    Args:
        model: a shipped model's name, a run folder, a checkpoint, or a loaded model.
        format: ``onnx`` or ``openvino``.
        out: the file, with suffix ``.onnx`` or ``.xml``; an older one is replaced.
        precision: ``fp32``; ``bf16`` (OpenVINO alone); ``int8``, which is calibrated on ``data``.
        data: folder of real chips; overrides ``config``.
        layout: its layout; overrides ``config``.
        split: the split of it that is used.
        config: further settings of how the data are read.
        show_progress: say on standard error what is being done.

    Returns:
        The figures of the gate, which are in the file's metadata too.

    Raises:
        ConfigError: the export is refused, by its gate or before it; nothing is written then.
        FloodsegError: the model or the data cannot be read.
    """
    path = Path(out)
    chips = _chips(precision, data, layout, config)
    _check(format, precision, path)
    loaded = model if isinstance(model, FloodModel) else load_model(model)
    path.parent.mkdir(parents=True, exist_ok=True)
    # beside the target: a rename keeps to one file system
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.stem}.") as folder:
        save_folder(Path(folder), loaded)
        job = Job(Path(folder), format, precision, Path(folder) / path.name, chips, split, show_progress)
        gate = _in_own_process(job)
        # the file that names the model comes last: without it nothing is there
        for file in sorted([job.out, job.out.with_suffix(".bin")], key=lambda each: each.suffix != ".bin"):
            if file.is_file():
                os.replace(file, path.with_suffix(file.suffix))
    return gate


def _chips(
    precision: ExportPrecision, data: str | Path | None, layout: Layout | None, config: DataConfig | None
) -> DataConfig | None:
    """Return how the chips are read, None where none are used."""
    from dataclasses import replace

    settings = config or DataConfig()
    settings = replace(settings, data=Path(data) if data else settings.data, layout=layout or settings.layout)
    if settings == DataConfig() and precision != "int8":
        return None
    return settings


def _check(format: ExportFormat, precision: ExportPrecision, path: Path) -> None:
    if format not in SUFFIXES:
        raise ConfigError(f"--format {format}: must be one of {', '.join(SUFFIXES)}")
    if precision not in ("fp32", "bf16", "int8"):
        raise ConfigError(f"--precision {precision}: must be one of fp32, bf16, int8")
    if format == "onnx" and precision == "bf16":
        raise ConfigError(
            "--precision bf16: ONNX Runtime computes no bf16 on a CPU; give --format openvino, or --precision int8"
        )
    if path.suffix != SUFFIXES[format]:
        raise ConfigError(f"--out {path}: must end in {SUFFIXES[format]} for --format {format}")
    require_installed(*_NEEDS[format], *(("nncf",) if precision == "int8" and format == "openvino" else ()))
    require_writable(path, "--out")


def require_installed(*packages: str) -> None:
    """Raise ConfigError, with the line that mends it, where a package of the extra ``export`` is missing."""
    missing = [name for name in packages if find_spec(name) is None]
    if missing:
        raise ConfigError(f"exporting needs {', '.join(missing)}: pip install 'floodseg[export]'")


def _in_own_process(job: Job) -> dict[str, Any]:
    """Convert in a fresh process and return the gate's figures; raise what it raised."""
    file = job.weights / "job.pickle"
    file.write_bytes(pickle.dumps(job))
    path = os.pathsep.join(each for each in sys.path if each)
    with (job.weights / "errors.txt").open("w+") as said:
        process = subprocess.Popen(
            [sys.executable, "-m", "floodseg.release.conversion.job", str(file)],
            env={**os.environ, "PYTHONPATH": path},
            stdout=subprocess.PIPE,
            stderr=said,
            text=True,
        )
        assert process.stdout is not None
        with process:
            # converters print, too
            for line in process.stdout:
                if job.show_progress and line.startswith(NOTE):
                    print(line.removeprefix(NOTE).strip(), file=sys.stderr, flush=True)
        said.seek(0)
        told = said.read().strip()
    if process.returncode < 0:
        raise FloodsegError(
            f"the conversion was ended by signal {-process.returncode}, for want of memory perhaps; nothing is written"
        )
    if process.returncode or not job.answer.is_file():
        raise RuntimeError(f"the conversion ended with code {process.returncode}:\n{told}")
    answer = json.loads(job.answer.read_text(encoding="utf-8"))
    if "error" in answer:
        raise getattr(errors, answer["error"]["kind"])(answer["error"]["message"])
    gate: dict[str, Any] = answer["gate"]
    return gate
