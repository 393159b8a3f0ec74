"""What the products of a scene were made from: checksums of its files, of the model, and the settings that decide.

They stand in ``summary.json``, so that products and their origin are published in one step: a scene is done when its
folder holds products of the same content. Files are read once for their checksum; as long as their size and time of
change are those of then, the checksum is taken from a note beside the products.
"""

import json
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from floodseg.cluster.checksums import digest, file_checksum
from floodseg.cluster.recipe import Recipe
from floodseg.config.base import flatten
from floodseg.config.predict import IMAGES, LAYERS, PredictConfig, SceneConfig
from floodseg.errors import DataError
from floodseg.products.folder import PRODUCTS, SUMMARY
from floodseg.raster.access import file_on_disk, is_remote
from floodseg.scene.session import Session
from floodseg.system.files import write_text

_NOTE = ".inputs.json"
_WITHOUT_EFFECT = ("threads", "allow_remote", *IMAGES, *LAYERS)
"""Settings that change no product; files count by what they hold."""


@dataclass(frozen=True, slots=True)
class Content:
    """What products are made from."""

    recipe: str
    """Checksum of model, version and settings."""
    model: str
    inputs: dict[str, list[str]]
    """By setting: name and checksum of each file or product, of an address the name alone."""

    @property
    def key(self) -> str:
        """Checksum of all of it."""
        return digest([self.recipe, self.inputs])

    def entry(self) -> dict[str, Any]:
        """Return the entry of ``summary.json``."""
        return {"key": self.key, "recipe": self.recipe, "model": self.model, "inputs": self.inputs}


def settings_checksum(config: PredictConfig, recipe: Recipe) -> str:
    """Return the checksum of all that decides about products but the files."""
    flat = {**flatten(config.scene), **flatten(config.mapping)}
    settings = {name: value for name, value in flat.items() if name not in _WITHOUT_EFFECT}
    return digest([recipe.model, recipe.version, settings])


def finished_content(folder: Path) -> dict[str, Any] | None:
    """Return the content of the products in a folder: None without finished ones, {} where they do not say."""
    try:
        document = json.loads((folder / SUMMARY).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if not isinstance(document, dict) or not all((folder / name).exists() for name in PRODUCTS):
        return None
    content = document.get("content", {})
    return content if isinstance(content, dict) else {}


def content_of(config: PredictConfig, recipe: Recipe, *, only_known: bool = False) -> Content | None:
    """Return what the products of a scene are to be made from.

    Args:
        config: the scene; a note of checksums is kept in its ``out_dir``.
        recipe: of the run.
        only_known: read no file: None where a checksum is not known from an earlier time.
    """
    note = _Note(config.out_dir / _NOTE)
    inputs: dict[str, list[str]] = {}
    for setting, name in _files(config.scene):
        if only_known and not note.covers(name):
            return None
        checksum = note.of(name, config.scene.allow_remote)
        inputs.setdefault(setting, []).append(f"{_shown(name)} {checksum}".rstrip())
    if not only_known:
        note.write()
    return Content(settings_checksum(config, recipe), recipe.model, inputs)


def _files(scene: SceneConfig) -> Iterator[tuple[str, str]]:
    for setting in IMAGES:
        yield from ((setting, name) for name in getattr(scene, setting))
    for setting in LAYERS:
        if getattr(scene, setting) is not None:
            yield setting, getattr(scene, setting)


def _shown(name: str) -> str:
    """Return a name without its folder, and without what an address says after its path: that may be a secret."""
    return name.partition("?")[0] if is_remote(name) else PurePosixPath(name).name


class _Note:
    """Checksums that were computed before, with size and time of change of their files then."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._names: dict[str, list[str]] = {}
        self._files: dict[str, list[Any]] = {}
        try:
            document = json.loads(path.read_text(encoding="utf-8"))
            self._names, self._files = dict(document["names"]), dict(document["files"])
        except (OSError, ValueError, KeyError, TypeError):
            pass  # without a whole note the files are read again

    def covers(self, name: str) -> bool:
        """Tell whether the files behind a name are those of the note, by size and time of change."""
        files = [] if is_remote(name) else self._names.get(name)
        return files is not None and all(self._unchanged(file) for file in files)

    def of(self, name: str, allow_remote: bool) -> str:
        """Return the checksum of what lies behind a name, '' of an address."""
        if is_remote(name):
            return ""
        if not self.covers(name):
            files = files_behind(name, allow_remote)
            for file in files:
                if not self._unchanged(str(file)):
                    status = file.stat()
                    self._files[str(file)] = [status.st_size, status.st_mtime_ns, file_checksum(file)]
            self._names[name] = [str(file) for file in files]
        return digest([[Path(file).name, self._files[file][2]] for file in self._names[name]])

    def _unchanged(self, file: str) -> bool:
        try:
            status = Path(file).stat()
        except OSError:
            return False
        return self._files.get(file, [])[:2] == [status.st_size, status.st_mtime_ns]

    def write(self) -> None:
        """Keep the note for the next time."""
        write_text(self._path, json.dumps({"names": self._names, "files": self._files}, indent=1) + "\n")


def files_behind(name: str, allow_remote: bool) -> list[Path]:
    """Return the files on this machine that GDAL reads for a name, in order; none where nothing is there."""
    place = file_on_disk(name)
    if place is None or not (name.startswith("/vsi") or Path(name).exists()):
        return []
    if place.name.startswith("MTD_MSI"):
        place = place.parent
    if place.is_dir():
        return sorted(path for path in place.rglob("*") if path.is_file())
    if not place.is_file():
        return []  # a device or a pipe has no end; mapping says what is wrong with it
    if name.startswith("/vsi"):
        return [place]
    rasters = _raster_files(str(place), allow_remote)
    # polygons have their sidecars beside them, by their name
    beside = () if rasters else place.parent.glob(f"{_glob_escaped(place.stem)}.*")
    return sorted({place, *rasters, *(path for path in beside if path.is_file())})


def _glob_escaped(stem: str) -> str:
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in stem)


def _raster_files(name: str, allow_remote: bool) -> set[Path]:
    """Return the files of a raster, sidecars and the sources of a VRT of VRTs included; none where it is no raster."""
    session, found, waiting = Session(allow_remote), set[Path](), [name]
    with closing(session):
        while waiting:
            try:
                files = session.open(waiting.pop()).files
            except DataError:
                continue  # mapping says what is wrong with it
            new = {Path(file) for file in files if not is_remote(file) and Path(file).is_file()} - found
            found |= new
            waiting += [str(file) for file in new if file.suffix.lower() == ".vrt"]
    return found
