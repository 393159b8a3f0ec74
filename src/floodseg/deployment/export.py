"""``floodseg.export``: a model as an ONNX or OpenVINO file that has passed its parity check."""

import os
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from floodseg.config.base import Layout
from floodseg.config.data import DataConfig
from floodseg.deployment.export_job import ExportJob
from floodseg.deployment.process import call_in_new_process
from floodseg.deployment.staging import publish, staging_folder
from floodseg.errors import ConfigError
from floodseg.models.checkpoint.checkpoint import save_folder
from floodseg.models.checkpoint.formats import SUFFIXES, ExportFormat, ExportPrecision
from floodseg.models.checkpoint.zoo import load_model
from floodseg.models.multi_sensor import AnyModel
from floodseg.system.environment import thread_limit
from floodseg.system.extras import require_extra
from floodseg.system.files import require_writable

_PACKAGES: dict[ExportFormat, tuple[str, ...]] = {
    "onnx": ("onnx", "onnxscript", "onnxruntime"),
    "openvino": ("onnx", "onnxscript", "openvino"),
}


def export(
    model: str | Path | AnyModel,
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
    """Write a model as an ONNX file, or as an OpenVINO ``.xml`` with its ``.bin``.

    The file is published only if it passes its parity check against the model in PyTorch. An fp32 file must match the
    probability within 1e-3 everywhere, a bf16 file within 1e-2 on 99.9 % of the pixels. Both are compared on simulated
    images of odd sizes with garbage at invalid pixels, and on ``data`` if it is set. The water IoU of an int8 file on
    ``data`` may drop by at most 0.003.

    The conversion runs in a second Python process, which imports the calling script again. In a script, call this
    function under ``if __name__ == "__main__":``.

    Args:
        model: a shipped model's name, a run folder, a checkpoint, or a loaded model.
        format: ``onnx`` or ``openvino``.
        out: path of the file, with suffix ``.onnx`` or ``.xml``; an existing file is replaced.
        precision: ``fp32``, ``bf16`` (OpenVINO only) or ``int8`` (calibrated on ``data``).
        data: folder of labelled chips; overrides ``config``.
        layout: layout of ``data``; overrides ``config``.
        split: the split of the chips.
        config: further settings for reading the data.
        show_progress: print the steps on standard error.

    Returns:
        The results of the parity check, which are also stored in the file's metadata.

    Raises:
        ConfigError: a setting is wrong, or the file fails its parity check; nothing is written.
        FloodsegError: the model or the data cannot be read, or the conversion was killed.

    Example:
        >>> checks = floodseg.export("s1-lite", format="onnx", out="s1-lite.onnx")
        >>> checks["largest"] < 1e-3  # largest difference of the probability to PyTorch
        True
    """
    path = Path(out)
    chips = _chip_settings(precision, data, layout, config)
    _check_settings(format, precision, path)
    loaded = model if isinstance(model, AnyModel) else load_model(model)
    with staging_folder(path) as folder:
        save_folder(folder, loaded)
        job = ExportJob(folder, format, precision, folder / path.name, chips, split)
        results = call_in_new_process(_convert, job, show_progress)
        publish(job.out, path)
    return results


def _convert(job: ExportJob, show_progress: bool) -> dict[str, Any]:
    """Convert the model, in a process of its own.

    Quantisers leave threads running, and a crash of native code ends its process. Converters print and log a lot; their
    output is discarded, and only the steps reach the terminal.
    """
    import torch

    from floodseg.deployment.convert import Conversion

    torch.set_num_threads(thread_limit())
    terminal = os.fdopen(os.dup(2), "w")
    with Path(os.devnull).open("w") as devnull:
        os.dup2(devnull.fileno(), 1)
        os.dup2(devnull.fileno(), 2)
    report = partial(print, file=terminal if show_progress else None, flush=True)
    return Conversion(job, report).run()


def _chip_settings(
    precision: ExportPrecision, data: str | Path | None, layout: Layout | None, config: DataConfig | None
) -> DataConfig | None:
    """Return the settings for reading the chips, or None if no chips are used."""
    settings = config or DataConfig()
    settings = replace(settings, data=Path(data) if data else settings.data, layout=layout or settings.layout)
    if settings == type(settings)() and precision != "int8":
        return None
    return settings


def _check_settings(format: ExportFormat, precision: ExportPrecision, path: Path) -> None:
    if format not in SUFFIXES:
        raise ConfigError(f"`format={format}`: must be one of {', '.join(SUFFIXES)}")
    if precision not in ("fp32", "bf16", "int8"):
        raise ConfigError(f"`precision={precision}`: must be one of fp32, bf16, int8")
    if format == "onnx" and precision == "bf16":
        raise ConfigError(
            "`precision=bf16`: ONNX Runtime cannot compute in bf16 on a CPU; use `format=openvino` or `precision=int8`"
        )
    if path.suffix != SUFFIXES[format]:
        raise ConfigError(f"`out={path}`: must end in {SUFFIXES[format]} for `format={format}`")
    quantiser = ("nncf",) if precision == "int8" and format == "openvino" else ()
    require_extra("export", *_PACKAGES[format], *quantiser, purpose="exporting")
    require_writable(path, "out")
