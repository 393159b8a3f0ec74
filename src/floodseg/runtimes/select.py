"""Choice of the runtime that maps with a model: the fastest one available, or the one requested."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from floodseg.config.predict import MapConfig
from floodseg.errors import CheckpointError, ConfigError
from floodseg.models.checkpoint.formats import SUFFIXES, ExportFormat, ExportPrecision, is_exported
from floodseg.models.checkpoint.zoo import WEIGHTS, find_model, load_model, shipped_models
from floodseg.runtimes.base import Runtime
from floodseg.system.environment import cpu_computes_bf16
from floodseg.system.extras import is_installed, require_extra, require_package

if TYPE_CHECKING:  # PyTorch takes a second to import, which mapping with an exported model does without
    from floodseg.models.model import FloodModel

_PACKAGES: dict[ExportFormat, str] = {"onnx": "onnxruntime", "openvino": "openvino"}
_INSTALL: dict[ExportFormat, str] = {"onnx": "floodseg[onnx]", "openvino": "openvino"}
_GPU_DEVICES = ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg")
"""One of these exists where PyTorch may find a GPU; to ask PyTorch itself takes seconds."""


@dataclass(frozen=True, slots=True)
class ExportedFile:
    """An exported file of a model."""

    runtime: ExportFormat
    precision: ExportPrecision
    path: Path

    @property
    def size_mb(self) -> float:
        """Size of its files in megabytes."""
        files = self.path, self.path.with_suffix(".bin")
        return sum(file.stat().st_size for file in files if file.is_file()) / 1e6

    @property
    def installed(self) -> bool:
        """Whether its runtime can be imported."""
        return is_installed(_PACKAGES[self.runtime])

    @property
    def runs_here(self) -> bool:
        """Whether its runtime is installed and the processor computes in its number format."""
        return self.installed and (self.precision != "bf16" or cpu_computes_bf16())


_FASTEST_FIRST: tuple[tuple[ExportFormat, ExportPrecision], ...] = (
    ("openvino", "int8"), ("openvino", "bf16"), ("openvino", "fp32"), ("onnx", "int8"), ("onnx", "fp32"),
)  # fmt: skip
"""The order is the same on processors with and without bf16 and int8 instructions; PyTorch comes last."""


def exported_file_name(runtime: ExportFormat, precision: ExportPrecision) -> str:
    """Return the name of an exported file in the folder of its model: ``openvino-int8.xml``."""
    return f"{runtime}-{precision}{SUFFIXES[runtime]}"


def exported_files(folder: Path) -> list[ExportedFile]:
    """Return the exported files in a weights folder, fastest first."""
    files = [ExportedFile(*each, folder / exported_file_name(*each)) for each in _FASTEST_FIRST]
    return [file for file in files if file.path.is_file()]


def open_runtime(model: "str | Path | FloodModel", mapping: MapConfig) -> Runtime:
    """Return the runtime of a model, by ``--runtime``, ``--device`` and ``--precision``.

    Args:
        model: a shipped model's name, a run folder, a checkpoint, an exported file, or a loaded model.
        mapping: the settings.

    Raises:
        ConfigError: this model or this machine does not have the runtime, device or precision.
        CheckpointError: the model does not exist, or cannot be read.
    """
    if isinstance(model, str | Path) and is_exported(Path(model)):
        return _open_file(Path(model), mapping)
    files = _files(model) if isinstance(model, str | Path) else []
    if mapping.runtime == "torch" or _on_gpu(mapping):
        return _torch(model, mapping)
    requested = [
        file
        for file in files
        if mapping.runtime in ("auto", file.runtime) and mapping.precision in ("auto", file.precision)
    ]
    for file in requested:
        if file.runs_here:
            return open_exported(file.path, mapping.threads)
    if mapping.runtime == "auto" and mapping.precision != "int8":
        return _torch(model, mapping)
    raise _unavailable(model, files, requested, mapping)


def _open_file(path: Path, mapping: MapConfig) -> Runtime:
    """Open an exported file that is itself the model argument."""
    runtime: ExportFormat = "onnx" if path.suffix == SUFFIXES["onnx"] else "openvino"
    if mapping.runtime not in ("auto", runtime):
        raise ConfigError(f"`runtime={mapping.runtime}`: must be {runtime} or auto for {path}: leave it out")
    if mapping.device == "cuda":
        raise ConfigError(
            f"`device=cuda`: {path} runs on the CPU; leave it out, or give the checkpoint to map on a GPU"
        )
    require_package(_INSTALL[runtime], _PACKAGES[runtime], purpose=f"{path}")
    opened = open_exported(path, mapping.threads)
    if mapping.precision not in ("auto", opened.precision):
        raise ConfigError(f"`precision={mapping.precision}`: {path} is {opened.precision}: leave it out")
    return opened


def open_exported(path: Path, threads: int | None = None) -> Runtime:
    """Open an exported file, ``.onnx`` or ``.xml``, whose runtime is installed, without importing PyTorch.

    Args:
        path: the file.
        threads: most windows that are mapped at once, each on one core; by default the usable cores.

    Raises:
        CheckpointError: the file cannot be read, or is not one that ``floodseg export`` wrote.
    """
    if path.suffix == SUFFIXES["onnx"]:
        from floodseg.runtimes.onnx_runtime import OnnxRuntime

        return OnnxRuntime(path, threads)
    from floodseg.runtimes.openvino_runtime import OpenVinoRuntime

    return OpenVinoRuntime(path, threads)


def _torch(model: "str | Path | FloodModel", mapping: MapConfig) -> Runtime:
    if isinstance(model, str | Path):
        find_model(model)  # a model that does not exist is reported before a package that is missing
    require_extra("train", "torch", "timm", "safetensors", purpose="mapping with PyTorch (a checkpoint, or a GPU)")
    from floodseg.runtimes.torch_runtime import TorchRuntime

    if mapping.precision == "int8":
        raise ConfigError(
            "`precision=int8`: PyTorch maps in fp32, bf16 or fp16 here; make an int8 file with floodseg export"
        )
    loaded = load_model(model) if isinstance(model, str | Path) else model
    return TorchRuntime(loaded, mapping.device, precision=mapping.precision, threads=mapping.threads)


def _files(model: str | Path) -> list[ExportedFile]:
    """Return the exported files in the folder of a named model's weights."""
    shipped = str(model) in (each.name for each in shipped_models())
    return exported_files(WEIGHTS / str(model) if shipped else Path(model))


def _on_gpu(mapping: MapConfig) -> bool:
    """Whether PyTorch maps on a GPU: that was requested, or nothing was requested and a GPU is available."""
    if mapping.device == "cuda" and mapping.runtime != "auto":
        raise ConfigError(
            f"`device=cuda`: `runtime={mapping.runtime}` maps on the CPU here; leave it out, or give `runtime=torch`"
        )
    if mapping.device != "auto" or mapping.runtime != "auto" or mapping.precision == "int8":
        return mapping.device == "cuda"
    if not is_installed("torch") or not any(os.path.exists(device) for device in _GPU_DEVICES):  # noqa: PTH110 (a device, not a file)
        return False
    import torch

    return torch.cuda.is_available()


def _unavailable(
    model: "str | Path | FloodModel", files: list[ExportedFile], requested: list[ExportedFile], mapping: MapConfig
) -> ConfigError | CheckpointError:
    """Return why no exported file can be used."""
    flags = " ".join(
        f"`{name}={value}`"
        for name, value in (("runtime", mapping.runtime), ("precision", mapping.precision))
        if value != "auto"
    )
    if requested:
        missing = next((file for file in requested if not file.installed), None)
        if missing:
            require_package(_INSTALL[missing.runtime], _PACKAGES[missing.runtime], purpose=flags)
        return ConfigError(f"{flags}: this processor does not compute in bf16; leave it out")
    if isinstance(model, str | Path) and not files:
        load_model(model)  # a model that does not exist is reported first
    name = model if isinstance(model, str | Path) else model.spec.architecture
    has = "only " + ", ".join(f"{file.runtime} {file.precision}" for file in files) if files else "no exported file"
    return ConfigError(
        f"{flags}: model '{name}' has {has}: make one with floodseg export and give that file as `model`, or leave it "
        "out"
    )
