"""Model of a run over many scenes, and the checksum by which workers verify that they open the same one."""

from dataclasses import replace
from pathlib import Path
from typing import Any, get_args, get_type_hints

from floodseg.cluster.fingerprint import ModelIdentity, json_checksum
from floodseg.config.predict import MapConfig
from floodseg.inference.predict import open_model_or_baseline
from floodseg.models.checkpoint.description import CONFIG_FILE, WEIGHTS_FILE
from floodseg.models.checkpoint.formats import is_exported
from floodseg.models.checkpoint.zoo import WEIGHTS, find_model, fused_model, shipped_models
from floodseg.runtimes.base import Runtime
from floodseg.runtimes.classical import CLASSICAL_METHODS, ClassicalMethod
from floodseg.runtimes.select import exported_files, requested_files
from floodseg.system.environment import versions
from floodseg.system.files import file_checksum


def open_model(model: str, mapping: MapConfig) -> tuple[Runtime | ClassicalMethod, MapConfig]:
    """Open a model on this machine, and return it with the settings that make every worker open it in the same way.

    The value ``auto`` of runtime, precision and device is resolved once, here, because hosts with other processors or
    packages could resolve it differently. With ``device="cuda"`` this machine needs no GPU.

    Raises:
        FloodsegError: as ``open_model_or_baseline`` does.
    """
    if mapping.device == "cuda":
        method, _ = open_model_or_baseline(model, replace(mapping, device="cpu", runtime="torch", precision="auto"))
        return method, mapping
    method, _ = open_model_or_baseline(model, mapping)
    if not isinstance(method, Runtime):
        return method, mapping
    if method.device != "cpu":
        return method, replace(mapping, device="cuda")
    resolved: dict[str, Any] = {"device": "cpu"}
    for setting, value in (("runtime", method.name), ("precision", method.precision)):
        # runtimes and precisions have the same names as in the settings; the parts of a fused model may differ
        if value in get_args(get_type_hints(MapConfig)[setting]):
            resolved[setting] = value
    return method, replace(mapping, **resolved)


def identify_model(model: str, mapping: MapConfig) -> ModelIdentity:
    """Return the identity of a model in the runtime and precision of ``mapping``, as :func:`open_model` resolves them.

    Raises:
        CheckpointError: the model does not exist.
    """
    version = versions()["floodseg"]
    if model in CLASSICAL_METHODS:
        return ModelIdentity(json_checksum(["method", model]), version)
    return ModelIdentity(json_checksum([[path.name, file_checksum(path)] for path in _files(model, mapping)]), version)


def absolute_model_name(model: str) -> str:
    """Return the name under which workers with other working directories find a model: its own, or an absolute path."""
    names = (*CLASSICAL_METHODS, *(shipped.name for shipped in shipped_models()))
    return model if model in names else str(Path(model).absolute())


def _files(model: str | Path, mapping: MapConfig) -> list[Path]:
    path = Path(model)
    if (fused := fused_model(model)) is not None:
        return [fused.folder / CONFIG_FILE, *(file for part in fused.parts.values() for file in _files(part, mapping))]
    if is_exported(path):
        return _exported_files(path)
    if mapping.runtime in ("onnx", "openvino"):
        shipped = str(model) in (each.name for each in shipped_models())
        files = requested_files(exported_files(WEIGHTS / model if shipped else path), mapping)
        # the file that open_runtime opens; without its package, opening it reports the package
        selected = ([file for file in files if file.runs_here] or files)[:1]
        return [part for file in selected for part in _exported_files(file.path)]
    found = find_model(model)
    return [found / CONFIG_FILE, found / WEIGHTS_FILE] if found.is_dir() else [found]


def _exported_files(path: Path) -> list[Path]:
    """Return the files of an exported model. OpenVINO stores the weights in a second file."""
    weights = path.with_suffix(".bin")
    return [path, weights] if path.suffix == ".xml" and weights.is_file() else [path]
