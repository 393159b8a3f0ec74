"""Depth and exposure of a map, in its folder or beside it."""

from collections.abc import Iterator
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

from floodseg.errors import DataError, FloodsegError
from floodseg.products.folder import CLASSES, DEPTH_PRODUCTS, SUMMARY
from floodseg.server.errors import RequestError
from floodseg.server.folders import Folders
from floodseg.server.rasters import file_state
from floodseg.server.scenes import MapFolder
from floodseg.system.files import file_checksum

_DEPTH = DEPTH_PRODUCTS[0]
_EXPOSURE = "exposure.json"
_DEPTH_ENTRIES = ("area_km2", "volume_m3", "depth_m", "depth_classes")
"""Entries of the summary of a depth that the page shows."""


def depth_folder(scene: MapFolder, folders: Folders) -> Path | None:
    """Return the folder of the depth of a map; None without one.

    It is the map's own (``floodseg predict --depth``), or a folder ``depth`` in it or beside it, if made from this map.
    """
    if (scene.path / _DEPTH).is_file() and scene.summary.get("depth"):
        return scene.path
    for file, document in _readable(_depth_summaries(scene), folders):
        if (file.parent / _DEPTH).is_file() and _is_of(scene, document, folders):
            return file.parent
    return None


def depth_document(scene: MapFolder, folders: Folders) -> dict[str, Any] | None:
    """Return volume, mean depth and the areas and volumes by depth; None without a depth."""
    folder = depth_folder(scene, folders)
    if folder is None:
        return None
    entries = scene.summary["depth"] if folder == scene.path else folders.read_json(folder / SUMMARY)
    return {key: value for key, value in entries.items() if key in _DEPTH_ENTRIES}


def exposure_rows(scene: MapFolder, folders: Folders) -> list[dict[str, Any]] | None:
    """Return the consequences of ``exposure.json`` in the map's folder or beside it; None without one."""
    for _, document in _readable(_exposures(scene), folders):
        if _is_of(scene, document, folders):
            rows = document.get("consequences")
            return rows if isinstance(rows, list) else None
    return None


def damaged_companions(scene: MapFolder, folders: Folders) -> list[str]:
    """Return a sentence on each depth or exposure that cannot be read, and is not shown."""
    sentences = []
    for file in (*_depth_summaries(scene), *_exposures(scene)):
        try:
            with suppress(RequestError):  # there is no such file, or it is not in the folders
                folders.read_json(file)
        except DataError as error:
            sentences.append(str(error))
    return sentences


def _depth_summaries(scene: MapFolder) -> list[Path]:
    return [folder / "depth" / SUMMARY for folder in (scene.path, scene.path.parent)]


def _exposures(scene: MapFolder) -> list[Path]:
    folders = (scene.path, scene.path / "exposure", scene.path.parent / "exposure")
    return [folder / _EXPOSURE for folder in folders]


def _readable(files: list[Path], folders: Folders) -> Iterator[tuple[Path, Any]]:
    """Yield the files that exist in the folders and can be read, with their content."""
    for file in files:
        try:
            document = folders.read_json(file)
        except FloodsegError:
            continue
        yield file, document


def _is_of(scene: MapFolder, document: Any, folders: Folders) -> bool:
    """Return True if a document has the checksum of the map as that of the map from which it was made."""
    recorded = document.get("map") if isinstance(document, dict) else None
    checksum = recorded.get("sha256") if isinstance(recorded, dict) else None
    if checksum is None:
        return False
    try:
        file = folders.checked(str(scene.path / CLASSES))
        return bool(checksum == _checksum(file, *file_state(str(file))))
    except (FloodsegError, OSError):
        return False


@lru_cache(maxsize=1024)
def _checksum(file: Path, changed: int, size: int) -> str:
    """Return the checksum of a file; ``changed`` and ``size`` are those of its last change."""
    return file_checksum(file)
