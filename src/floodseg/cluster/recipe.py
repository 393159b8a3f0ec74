"""Which model maps all scenes of a run, and in which form: the same on every worker, whatever its host offers."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from floodseg.cluster.checksums import digest, file_checksum
from floodseg.config.predict import MapConfig
from floodseg.inference.predict import open_method
from floodseg.models.checkpoint.description import CONFIG_FILE, WEIGHTS_FILE
from floodseg.models.checkpoint.formats import is_exported
from floodseg.models.checkpoint.zoo import WEIGHTS, find_model, shipped_models
from floodseg.runtimes.base import Runtime
from floodseg.runtimes.classical import PLAIN_METHODS, PlainMethod
from floodseg.runtimes.select import exported_files
from floodseg.system.environment import versions


@dataclass(frozen=True, slots=True)
class Recipe:
    """What all scenes of a run have in common, and each worker has to have as well."""

    model: str
    """Checksum of the model's files."""
    version: str
    """Of floodseg."""


def open_here(model: str, mapping: MapConfig) -> tuple[Runtime | PlainMethod, MapConfig]:
    """Return a model as it is opened on this machine, and the settings by which each worker opens it alike.

    What ``auto`` means for runtime, precision and device is found here, once: hosts with other processors or packages
    would map by another form. Only a GPU that was asked for need not be on this machine.

    Raises:
        FloodsegError: as ``open_method`` does.
    """
    if mapping.device == "cuda":
        method, _ = open_method(model, replace(mapping, device="cpu", runtime="torch", precision="auto"))
        return method, mapping
    method, _ = open_method(model, mapping)
    if not isinstance(method, Runtime):
        return method, mapping
    if method.device != "cpu":
        return method, replace(mapping, device="cuda")
    # the names of runtimes and number formats are those of the flags
    form: dict[str, Any] = {"runtime": method.name, "precision": method.precision}
    return method, replace(mapping, device="cpu", **form)


def recipe_of(model: str, mapping: MapConfig) -> Recipe:
    """Return the recipe of a model by its name, in the form that ``mapping`` says; see :func:`open_here`.

    Raises:
        CheckpointError: there is no such model.
    """
    if model in PLAIN_METHODS:
        return Recipe(digest(["method", model]), versions()["floodseg"])
    files = _files(model, mapping)
    return Recipe(digest([[path.name, file_checksum(path)] for path in files]), versions()["floodseg"])


def found_by_all(model: str) -> str:
    """Return the name by which workers in other folders find a model."""
    known = (*PLAIN_METHODS, *(shipped.name for shipped in shipped_models()))
    return model if model in known else str(Path(model).absolute())


def _files(model: str, mapping: MapConfig) -> list[Path]:
    path = Path(model)
    if is_exported(path):
        return _exported_files(path)
    if mapping.runtime in ("onnx", "openvino"):
        shipped = model in (each.name for each in shipped_models())
        requested = [
            file.path
            for file in exported_files(WEIGHTS / model if shipped else path)
            if (file.runtime, file.precision) == (mapping.runtime, mapping.precision)
        ]
        return [part for file in requested for part in _exported_files(file)]
    place = find_model(model)
    return [place / CONFIG_FILE, place / WEIGHTS_FILE] if place.is_dir() else [place]


def _exported_files(path: Path) -> list[Path]:
    """Return an exported model's file, and the one of its weights that OpenVINO puts beside it."""
    weights = path.with_suffix(".bin")
    return [path, weights] if path.suffix == ".xml" and weights.is_file() else [path]
