"""Checksums of what a scene's products are made from: its files, the model, and the settings that change them.

They are part of ``summary.json``, so products and their origin are published in one step: a scene is finished when its
folder holds products of the same content. A note beside the products keeps the checksums of files with their sizes
and modification times, so that an unchanged file is read only once.
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
from floodseg.config.predict import IMAGES, LAYERS, PredictConfig, SceneConfig
from floodseg.errors import DataError
from floodseg.products.folder import PRODUCTS, SUMMARY
from floodseg.raster.access import file_on_disk, is_remote
from floodseg.scene.session import Session
from floodseg.system.files import write_text

_CHECKSUM_CACHE = ".inputs.json"
_NOT_IN_CHECKSUM = ("threads", "allow_remote", *IMAGES, *LAYERS)
"""Settings that change no product, and files, which count by their content."""


@dataclass(frozen=True, slots=True)
class ModelIdentity:
    """Checksum of a model's files, and the version of floodseg that runs it: the same on every worker."""

    checksum: str
    version: str


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """What products are made from."""

    settings: str
    """Checksum of model, version and settings."""
    model: str
    """Checksum of the model."""
    inputs: dict[str, list[str]]
    """By setting: name and checksum of each image or layer; the name alone of an address."""

    @property
    def key(self) -> str:
        """Checksum of everything."""
        return json_checksum([self.settings, self.inputs])

    def entry(self) -> dict[str, Any]:
        """Return the entry ``content`` of ``summary.json``."""
        return {"key": self.key, "recipe": self.settings, "model": self.model, "inputs": self.inputs}


def file_checksum(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def json_checksum(value: Any) -> str:
    """Return the SHA-256 of a plain JSON value."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def settings_checksum(config: PredictConfig, model: ModelIdentity) -> str:
    """Return the checksum of everything but the files that changes the products of a scene."""
    flat = {**flatten(config.scene), **flatten(config.mapping)}
    settings = {name: value for name, value in flat.items() if name not in _NOT_IN_CHECKSUM}
    return json_checksum([model.checksum, model.version, settings])


def finished_entry(folder: Path) -> dict[str, Any] | None:
    """Return the content entry of finished products: None without such products, {} where ``summary.json`` has none."""
    try:
        document = json.loads((folder / SUMMARY).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if not isinstance(document, dict) or not all((folder / name).exists() for name in PRODUCTS):
        return None
    content = document.get("content", {})
    return content if isinstance(content, dict) else {}


def scene_fingerprint(config: PredictConfig, model: ModelIdentity) -> Fingerprint:
    """Return what the products of a scene are to be made from; files that changed since the last time are read.

    Raises:
        OSError: a file cannot be read.
    """
    content, note = _content(config, model, read=True)
    assert content is not None
    write_text(config.out_dir / _CHECKSUM_CACHE, json.dumps(note, indent=1) + "\n")
    return content


def cached_fingerprint(config: PredictConfig, model: ModelIdentity) -> Fingerprint | None:
    """Return what :func:`scene_fingerprint` would, without reading a file; None where a file is new or has changed."""
    return _content(config, model, read=False)[0]


def _content(config: PredictConfig, model: ModelIdentity, *, read: bool) -> tuple[Fingerprint | None, dict[str, Any]]:
    note = _read_checksums(config.out_dir / _CHECKSUM_CACHE)
    inputs: dict[str, list[str]] = {}
    for setting, name in _input_files(config.scene):
        if is_remote(name):
            # without what follows the path of an address, which may be a secret
            inputs.setdefault(setting, []).append(name.partition("?")[0])
            continue
        if not _is_current(note.get(name)):
            if not read:
                return None, note
            files = local_files(name, config.scene.allow_remote)
            note[name] = [[*_file_state(file), file_checksum(file)] for file in files]
        checksum = json_checksum([[Path(file).name, checksum] for file, _, _, checksum in note[name]])
        inputs.setdefault(setting, []).append(f"{PurePosixPath(name).name} {checksum}")
    return Fingerprint(settings_checksum(config, model), model.checksum, inputs), note


def _read_checksums(path: Path) -> dict[str, Any]:
    """Return name, size, modification time and checksum of the files behind each name, as of the last run."""
    try:
        note = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return note if isinstance(note, dict) else {}


def _is_current(files: Any) -> bool:
    """Return whether an entry of the note has the files that are on the disk."""
    try:
        return bool(files) and all([file, size, time] == _file_state(Path(file)) for file, size, time, _ in files)
    except (OSError, ValueError, TypeError):
        return False


def _file_state(file: Path) -> list[Any]:
    status = file.stat()
    return [str(file), status.st_size, status.st_mtime_ns]


def _input_files(scene: SceneConfig) -> Iterator[tuple[str, str]]:
    """Yield the files of a scene with the setting that names them."""
    for setting in IMAGES:
        yield from ((setting, name) for name in getattr(scene, setting))
    for setting in LAYERS:
        if getattr(scene, setting) is not None:
            yield setting, getattr(scene, setting)


def local_files(name: str, allow_remote: bool) -> list[Path]:
    """Return the local files that GDAL reads for a name, sorted; none where nothing is there."""
    place = file_on_disk(name)
    if place is None or not (name.startswith("/vsi") or Path(name).exists()):
        return []
    if place.name.startswith("MTD_MSI"):
        place = place.parent
    if place.is_dir():
        return sorted(path for path in place.rglob("*") if path.is_file())
    if not place.is_file():
        return []  # a device or a pipe has no end; mapping reports it
    if name.startswith("/vsi"):
        return [place]
    rasters = _raster_files(str(place), allow_remote)
    # polygons have sidecar files of the same stem
    sidecars = () if rasters else place.parent.glob(f"{escape(place.stem)}.*")
    return sorted({place, *rasters, *(path for path in sidecars if path.is_file())})


def _raster_files(name: str, allow_remote: bool) -> set[Path]:
    """Return the files of a raster, with sidecars and the sources of VRT files of any depth; none of other files."""
    found, waiting = set[Path](), [name]
    with closing(Session(allow_remote)) as session:
        while waiting:
            try:
                files = session.open(waiting.pop()).files
            except DataError:
                continue  # mapping reports it
            new = {Path(file) for file in files if not is_remote(file) and Path(file).is_file()} - found
            found |= new
            waiting += [str(file) for file in new if file.suffix.lower() == ".vrt"]
    return found
