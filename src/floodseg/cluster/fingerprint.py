"""Checksums of the inputs of a scene's products: its files, the model and the settings.

``summary.json`` holds them, so they are published together with the products. A scene is finished if its folder holds
products with the same checksums. A hidden file beside the products stores the checksum, size and modification time of
each input file, so that an unchanged file is read only once.
"""

import hashlib
import json
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from glob import escape
from pathlib import Path, PurePosixPath
from typing import Any

from floodseg.config.base import flatten
from floodseg.config.predict import IMAGES, LAYERS, PredictConfig, SceneConfig, layer_file
from floodseg.errors import DataError
from floodseg.products.folder import PRODUCTS, SUMMARY
from floodseg.raster.access import file_on_disk, is_remote
from floodseg.scene.session import Session
from floodseg.system.files import file_checksum, write_text

_CHECKSUM_CACHE = ".inputs.json"
_NOT_IN_CHECKSUM = ("threads", "allow_remote", *IMAGES, *LAYERS)
"""Settings that do not change the products, and settings that name files, which have checksums of their own."""


@dataclass(frozen=True, slots=True)
class ModelIdentity:
    """Checksum of a model's files and version of floodseg. Both must be the same on every worker."""

    checksum: str
    version: str
    csmask: bool = False
    """True if the extra ``clouds`` is installed, so that ``cloud_mask=auto`` uses it for optical images."""


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """Checksums of the inputs of a scene's products."""

    settings: str
    """Checksum of model, version and settings."""
    model: str
    """Checksum of the model."""
    inputs: dict[str, list[str]]
    """Name and checksum of each image and layer, by setting. Files on the network have no checksum."""

    @property
    def key(self) -> str:
        """Checksum of settings and files together."""
        return json_checksum([self.settings, self.inputs])

    def entry(self) -> dict[str, Any]:
        """Return the entry ``content`` of ``summary.json``. The key ``recipe`` is the name in existing products."""
        return {"key": self.key, "recipe": self.settings, "model": self.model, "inputs": self.inputs}


def json_checksum(value: Any) -> str:
    """Return the SHA-256 of a value written as JSON."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def settings_checksum(config: PredictConfig, model: ModelIdentity) -> str:
    """Return the checksum of the model and of all settings that change the products of a scene."""
    flat = {**flatten(config.scene), **flatten(config.mapping)}
    settings = {name: value for name, value in flat.items() if name not in _NOT_IN_CHECKSUM}
    if config.scene.optical and layer_file("cloud_mask", config.scene.cloud_mask) is None:
        settings["cloud_mask"] = config.scene.cloud_mask
        settings["csmask"] = model.csmask and config.scene.cloud_mask == "auto"
    return json_checksum([model.checksum, model.version, settings])


def finished_entry(folder: Path) -> dict[str, Any] | None:
    """Return the entry ``content`` of the ``summary.json`` in a folder of products.

    It is None without finished products, and {} for products of ``floodseg predict``, which have no such entry.
    """
    try:
        document = json.loads((folder / SUMMARY).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if not isinstance(document, dict) or not all((folder / name).exists() for name in PRODUCTS):
        return None
    content = document.get("content", {})
    return content if isinstance(content, dict) else {}


def scene_fingerprint(config: PredictConfig, model: ModelIdentity) -> Fingerprint:
    """Return the checksums of a scene's inputs. Only files that changed since the last run are read.

    Raises:
        OSError: a file cannot be read.
    """
    fingerprint, checksums = _fingerprint(config, model, read=True)
    assert fingerprint is not None
    write_text(config.out_dir / _CHECKSUM_CACHE, json.dumps(checksums, indent=1) + "\n")
    return fingerprint


def cached_fingerprint(config: PredictConfig, model: ModelIdentity) -> Fingerprint | None:
    """Return the result of :func:`scene_fingerprint` from stored checksums; None if a file is new or has changed."""
    return _fingerprint(config, model, read=False)[0]


def _fingerprint(
    config: PredictConfig, model: ModelIdentity, *, read: bool
) -> tuple[Fingerprint | None, dict[str, Any]]:
    """Return the fingerprint and the checksums of all files; None if ``read`` is False and a file has to be read."""
    checksums = _read_checksums(config.out_dir / _CHECKSUM_CACHE)
    inputs: dict[str, list[str]] = {}
    for setting, name in _input_files(config.scene):
        if is_remote(name):
            # without the query of the URL, which may hold a secret
            inputs.setdefault(setting, []).append(name.partition("?")[0])
            continue
        if not _is_current(checksums.get(name)):
            if not read:
                return None, checksums
            files = local_files(name, allow_remote=config.scene.allow_remote)
            checksums[name] = [[*_file_state(file), file_checksum(file)] for file in files]
        checksum = json_checksum([[Path(file).name, checksum] for file, _, _, checksum in checksums[name]])
        inputs.setdefault(setting, []).append(f"{PurePosixPath(name).name} {checksum}")
    return Fingerprint(settings_checksum(config, model), model.checksum, inputs), checksums


def _read_checksums(path: Path) -> dict[str, Any]:
    """Return the stored path, size, modification time and checksum of the files of each input name."""
    try:
        checksums = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return checksums if isinstance(checksums, dict) else {}


def _is_current(files: Any) -> bool:
    """Return True if the files of a stored entry exist with the same size and modification time."""
    try:
        return bool(files) and all([file, size, time] == _file_state(Path(file)) for file, size, time, _ in files)
    except (OSError, ValueError, TypeError):
        return False


def _file_state(file: Path) -> list[Any]:
    """Return path, size and modification time of a file."""
    status = file.stat()
    return [str(file), status.st_size, status.st_mtime_ns]


def _input_files(scene: SceneConfig) -> Iterator[tuple[str, str]]:
    """Yield setting and name of each input file of a scene."""
    for setting in IMAGES:
        yield from ((setting, name) for name in getattr(scene, setting))
    for setting in LAYERS:
        if (file := layer_file(setting, getattr(scene, setting))) is not None:
            yield setting, file


def local_files(name: str, *, allow_remote: bool) -> list[Path]:
    """Return the local files that GDAL reads for a name, sorted. A name without a file has none."""
    path = file_on_disk(name)
    if path is None or not (name.startswith("/vsi") or Path(name).exists()):
        return []
    if path.name.startswith("MTD_MSI"):
        path = path.parent
    if path.is_dir():
        return sorted(file for file in path.rglob("*") if file.is_file())
    if not path.is_file():
        return []  # a device or a pipe: reading it would not end, and mapping reports the error
    if name.startswith("/vsi"):
        return [path]
    rasters = _raster_files(str(path), allow_remote=allow_remote)
    # polygon formats have sidecar files with the same stem
    sidecars = () if rasters else path.parent.glob(f"{escape(path.stem)}.*")
    return sorted({path, *rasters, *(file for file in sidecars if file.is_file())})


def _raster_files(name: str, *, allow_remote: bool) -> set[Path]:
    """Return the files of a raster with sidecars and sources of VRT files; an empty set if it is not a raster."""
    found, waiting = set[Path](), [name]
    with closing(Session(allow_remote=allow_remote)) as session:
        while waiting:
            try:
                files = session.open(waiting.pop()).files
            except DataError:
                continue  # mapping reports it
            new = {Path(file) for file in files if not is_remote(file) and Path(file).is_file()} - found
            found |= new
            waiting += [str(file) for file in new if file.suffix.lower() == ".vrt"]
    return found
