"""Selection of the runtime for a model: the fastest one available, or the requested one."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from floodseg.bands import SENSORS
from floodseg.config.predict import MapConfig
from floodseg.errors import CheckpointError, ConfigError
from floodseg.messages import SENSOR_NAMES
from floodseg.models.checkpoint.description import CONFIG_FILE, check_format, description_errors
from floodseg.models.checkpoint.formats import SUFFIXES, ExportFormat, ExportPrecision, is_exported
from floodseg.models.checkpoint.zoo import WEIGHTS, ShippedModel, find_model, fused_model, load_model, shipped_models
from floodseg.models.decision import Decisions
from floodseg.models.log_odds_fusion import LogOddsFusion
from floodseg.runtimes.base import Runtime
from floodseg.runtimes.fused import FusedRuntime
from floodseg.system.environment import cpu_computes_bf16
from floodseg.system.extras import is_installed, require_extra, require_package

if TYPE_CHECKING:  # importing PyTorch takes a second, and exported models do not need it
    from floodseg.models.multi_sensor import AnyModel

_PACKAGE: dict[ExportFormat, str] = {"onnx": "onnxruntime", "openvino": "openvino"}
_PIP_NAME: dict[ExportFormat, str] = {"onnx": "floodseg[onnx]", "openvino": "openvino"}
_GPU_DEVICE_FILES = ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg")
"""Device files. If none exists, PyTorch cannot use a GPU, and its slow import is avoided."""


@dataclass(frozen=True, slots=True)
class ExportedFile:
    """An exported file in the folder of its model."""

    runtime: ExportFormat
    precision: ExportPrecision
    path: Path

    @property
    def installed(self) -> bool:
        """True if its runtime is installed."""
        return is_installed(_PACKAGE[self.runtime])

    @property
    def runs_here(self) -> bool:
        """True if its runtime is installed and the processor supports its precision."""
        return self.installed and (self.precision != "bf16" or cpu_computes_bf16())


_FASTEST_FIRST: tuple[tuple[ExportFormat, ExportPrecision], ...] = (
    ("openvino", "int8"), ("openvino", "bf16"), ("openvino", "fp32"), ("onnx", "int8"), ("onnx", "fp32"),
)  # fmt: skip
"""The order does not depend on the processor. PyTorch comes last."""


def exported_file_name(runtime: ExportFormat, precision: ExportPrecision) -> str:
    """Return the file name of an exported model, such as ``openvino-int8.xml``."""
    return f"{runtime}-{precision}{SUFFIXES[runtime]}"


def exported_files(folder: Path) -> list[ExportedFile]:
    """Return the exported files in a weights folder, fastest first."""
    files = [ExportedFile(*each, folder / exported_file_name(*each)) for each in _FASTEST_FIRST]
    return [file for file in files if file.path.is_file()]


def requested_files(files: Sequence[ExportedFile], mapping: MapConfig) -> list[ExportedFile]:
    """Return the files with the runtime and precision of ``mapping``."""
    return [
        file
        for file in files
        if mapping.runtime in ("auto", file.runtime) and mapping.precision in ("auto", file.precision)
    ]


def open_runtime(model: "str | Path | AnyModel", mapping: MapConfig) -> Runtime:
    """Open a model in the runtime that ``mapping`` requests, or in the fastest one available.

    Args:
        model: a shipped model's name, a run folder, a checkpoint, an exported file, or a loaded model.
        mapping: settings with runtime, device, precision and threads.

    Raises:
        ConfigError: the model or the machine lacks the runtime, device or precision.
        CheckpointError: the model does not exist, or cannot be read.
    """
    if isinstance(model, str | Path) and is_exported(Path(model)):
        return _open_requested_file(Path(model), mapping)
    if isinstance(model, str | Path) and (fused := fused_model(model)) is not None:
        return _open_fused(fused, mapping)
    files = _exported_files_of(model) if isinstance(model, str | Path) else []
    if mapping.runtime == "torch" or _uses_gpu(mapping):
        return _open_torch(model, mapping)
    requested = requested_files(files, mapping)
    for file in requested:
        if file.runs_here:
            return open_exported(file.path, mapping.threads)
    if mapping.runtime == "auto" and mapping.precision != "int8":
        return _open_torch(model, mapping)
    raise _unavailable_error(model, files, requested, mapping)


def _open_fused(model: ShippedModel, mapping: MapConfig) -> Runtime:
    """Open the two parts of a fused model, each in the runtime that ``mapping`` requests or in its fastest one."""
    check_format(model.description, model.folder)
    with description_errors(model.folder):
        fusion = LogOddsFusion.from_json(model.description["fusion"])
        decision = Decisions.from_json(model.description["decisions"]).both
        parts = [model.parts[sensor] for sensor in SENSORS]
        nested = next((part for part in parts if fused_model(part) is not None), None)
        if nested is not None:
            raise CheckpointError(f"{nested} is not the folder of a plain model")
    sar, optical = (open_runtime(part, mapping) for part in parts)
    for part, runtime, sensor in zip(parts, (sar, optical), SENSORS, strict=True):
        if runtime.bands.sensors != (sensor,):
            raise CheckpointError(
                f"{model.folder}: its part {part.name} takes {runtime.bands}, but must take only "
                f"{SENSOR_NAMES[sensor]} bands; correct `parts` in its {CONFIG_FILE}"
            )
    return FusedRuntime(sar, optical, fusion, decision)


def _open_requested_file(path: Path, mapping: MapConfig) -> Runtime:
    """Open an exported file that the user passes as the model."""
    runtime: ExportFormat = "onnx" if path.suffix == SUFFIXES["onnx"] else "openvino"
    if mapping.runtime not in ("auto", runtime):
        raise ConfigError(f"`runtime={mapping.runtime}`: must be {runtime} or auto for {path}; leave `runtime` out")
    if mapping.device == "cuda":
        raise ConfigError(
            f"`device=cuda`: {path} runs on the CPU; leave `device` out, or use the checkpoint to map on a GPU"
        )
    require_package(_PIP_NAME[runtime], _PACKAGE[runtime], purpose=f"{path}")
    opened = open_exported(path, mapping.threads)
    if mapping.precision not in ("auto", opened.precision):
        raise ConfigError(f"`precision={mapping.precision}`: {path} is {opened.precision}; leave `precision` out")
    return opened


def open_exported(path: Path, threads: int | None = None) -> Runtime:
    """Open an exported file, ``.onnx`` or ``.xml``, without importing PyTorch. Its runtime must be installed.

    Args:
        path: the file.
        threads: maximum number of windows mapped at the same time, each on one core; by default the usable cores.

    Raises:
        CheckpointError: the file cannot be read, or was not written by ``floodseg export``.
    """
    if path.suffix == SUFFIXES["onnx"]:
        from floodseg.runtimes.onnx_runtime import OnnxRuntime

        return OnnxRuntime(path, threads)
    from floodseg.runtimes.openvino_runtime import OpenVinoRuntime

    return OpenVinoRuntime(path, threads)


def _open_torch(model: "str | Path | AnyModel", mapping: MapConfig) -> Runtime:
    if isinstance(model, str | Path):
        find_model(model)  # report a missing model before a missing package
    require_extra("train", "torch", "timm", "safetensors", purpose="mapping with a checkpoint or on a GPU")
    from floodseg.runtimes.torch_runtime import TorchRuntime

    if mapping.precision == "int8":
        raise ConfigError(
            "`precision=int8`: PyTorch computes in fp32, bf16 or fp16; create an int8 file with floodseg export"
        )
    loaded = load_model(model) if isinstance(model, str | Path) else model
    return TorchRuntime(loaded, mapping.device, precision=mapping.precision, threads=mapping.threads)


def _exported_files_of(model: str | Path) -> list[ExportedFile]:
    """Return the exported files in the folder of a shipped model or a run."""
    shipped = str(model) in (each.name for each in shipped_models())
    return exported_files(WEIGHTS / str(model) if shipped else Path(model))


def _uses_gpu(mapping: MapConfig) -> bool:
    """Return True if a GPU is requested, or if nothing is requested and PyTorch can use a GPU."""
    if mapping.device == "cuda" and mapping.runtime != "auto":
        raise ConfigError(
            f"`device=cuda`: `runtime={mapping.runtime}` runs only on the CPU; leave `device` out, or use "
            "`runtime=torch`"
        )
    if mapping.device != "auto" or mapping.runtime != "auto" or mapping.precision == "int8":
        return mapping.device == "cuda"
    if not is_installed("torch") or not any(os.path.exists(device) for device in _GPU_DEVICE_FILES):  # noqa: PTH110 (a device, not a file)
        return False
    import torch

    return torch.cuda.is_available()


def _unavailable_error(
    model: "str | Path | AnyModel", files: list[ExportedFile], requested: list[ExportedFile], mapping: MapConfig
) -> ConfigError | CheckpointError:
    """Return an error with the reason why no exported file can be used."""
    settings = " ".join(
        f"`{name}={value}`"
        for name, value in (("runtime", mapping.runtime), ("precision", mapping.precision))
        if value != "auto"
    )
    if requested:
        missing = next((file for file in requested if not file.installed), None)
        if missing:
            require_package(_PIP_NAME[missing.runtime], _PACKAGE[missing.runtime], purpose=settings)
        return ConfigError(f"{settings}: this processor cannot compute in bf16; leave `precision` out")
    if isinstance(model, str | Path) and not files:
        load_model(model)  # report a missing model first
    name = model if isinstance(model, str | Path) else model.spec.architecture
    name = name.name if isinstance(name, Path) and name.parent == WEIGHTS else name  # a part of a shipped model
    names = ", ".join(f"{file.runtime} {file.precision}" for file in files)
    available = f"only {names}" if files else "no exported file"
    return ConfigError(
        f"{settings}: model '{name}' has {available}; create the file with floodseg export and use it as `model`, or "
        "leave the setting out"
    )
