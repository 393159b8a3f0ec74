"""``floodseg.export``: a model as a file that other runtimes run, published only if its results are the model's."""

import os
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from floodseg.config.base import Layout
from floodseg.config.train import DataConfig
from floodseg.deployment.job import Job
from floodseg.deployment.process import call_in_process
from floodseg.deployment.staging import publish, staging_folder
from floodseg.errors import ConfigError
from floodseg.models.checkpoint.checkpoint import save_folder
from floodseg.models.checkpoint.formats import SUFFIXES, ExportFormat, ExportPrecision
from floodseg.models.checkpoint.zoo import load_model
from floodseg.models.model import FloodModel
from floodseg.system.environment import usable_cores
from floodseg.system.extras import require_extra
from floodseg.system.files import require_writable

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

    The file is compared with the model before it is published under its name: fp32 on simulated images of odd sizes
    with garbage at invalid pixels (within 1e-3 everywhere), bf16 on the same (within 1e-2 on 99.9 % of the pixels),
    both also on ``data`` if it is set; int8 by its water IoU on ``data`` (at most 0.003 below). The conversion runs in
    a second Python process, which imports the calling script again: in a script, call this function under
    ``if __name__ == "__main__":``.

    Args:
        model: a shipped model's name, a run folder, a checkpoint, or a loaded model.
        format: ``onnx`` or ``openvino``.
        out: the file, with suffix ``.onnx`` or ``.xml``; an existing one is replaced.
        precision: ``fp32``; ``bf16`` (OpenVINO only); ``int8``, which is calibrated on ``data``.
        data: folder of real chips; overrides ``config``.
        layout: its layout; overrides ``config``.
        split: the split of the chips.
        config: further settings of how the data are read.
        show_progress: print the steps on standard error.

    Returns:
        The figures of the parity check, which are stored in the file's metadata too.

    Raises:
        ConfigError: the settings are wrong, or the file fails its parity check; nothing is written then.
        FloodsegError: the model or the data cannot be read, or the conversion was killed.
    """
    path = Path(out)
    chips = _chips(precision, data, layout, config)
    _check(format, precision, path)
    loaded = model if isinstance(model, FloodModel) else load_model(model)
    with staging_folder(path) as folder:
        save_folder(folder, loaded)
        job = Job(folder, format, precision, folder / path.name, chips, split)
        figures = call_in_process(_convert, job, show_progress)
        publish(job.out, path)
    return figures


def _convert(job: Job, show_progress: bool) -> dict[str, Any]:
    """Convert in a process of its own: quantisers leave threads behind, and native code that fails ends its process.

    Converters print and log a lot; only the steps reach the terminal.
    """
    import torch

    from floodseg.deployment.convert import Conversion

    torch.set_num_threads(usable_cores())
    terminal = os.fdopen(os.dup(2), "w")
    with Path(os.devnull).open("w") as nothing:
        os.dup2(nothing.fileno(), 1)
        os.dup2(nothing.fileno(), 2)
    note = partial(print, file=terminal if show_progress else None, flush=True)
    return Conversion(job, note).run()


def _chips(
    precision: ExportPrecision, data: str | Path | None, layout: Layout | None, config: DataConfig | None
) -> DataConfig | None:
    """Return how the chips are read, None where none are used."""
    settings = config or DataConfig()
    settings = replace(settings, data=Path(data) if data else settings.data, layout=layout or settings.layout)
    if settings == DataConfig() and precision != "int8":
        return None
    return settings


def _check(format: ExportFormat, precision: ExportPrecision, path: Path) -> None:
    if format not in SUFFIXES:
        raise ConfigError(f"`format={format}`: must be one of {', '.join(SUFFIXES)}")
    if precision not in ("fp32", "bf16", "int8"):
        raise ConfigError(f"`precision={precision}`: must be one of fp32, bf16, int8")
    if format == "onnx" and precision == "bf16":
        raise ConfigError(
            "`precision=bf16`: ONNX Runtime computes no bf16 on a CPU; give `format=openvino`, or `precision=int8`"
        )
    if path.suffix != SUFFIXES[format]:
        raise ConfigError(f"`out={path}`: must end in {SUFFIXES[format]} for `format={format}`")
    require_installed(*_NEEDS[format], *(("nncf",) if precision == "int8" and format == "openvino" else ()))
    require_writable(path, "out")


def require_installed(*packages: str) -> None:
    """Raise ConfigError, with the pip line, where a package of the extra ``export`` is missing."""
    require_extra("export", *packages, purpose="exporting")
