"""Depth and exposure of a map, in its folder or beside it."""

import json
from functools import lru_cache
from pathlib import Path
from typing import Any

from floodseg.errors import DataError
from floodseg.products.folder import DEPTH_PRODUCTS, SUMMARY
from floodseg.server.folders import Folders
from floodseg.server.scenes import MapFolder, refuse_constant

_DEPTH = DEPTH_PRODUCTS[0]
_EXPOSURE = "exposure.json"
_DEPTH_ENTRIES = ("area_km2", "volume_m3", "depth_m", "depth_classes")
"""Entries of the summary of a depth that the page shows."""


def depth_folder(scene: MapFolder, folders: Folders) -> Path | None:
    """Return the folder of the depth of a map; None without one.

    It is the map's own (``floodseg predict --depth``), or the folder ``depth`` in it or beside it, of the same grid.
    """
    if (scene.path / _DEPTH).is_file() and "depth" in scene.summary:
        return scene.path
    for folder in _beside(scene, folders, "depth"):
        if (folder / _DEPTH).is_file() and _is_of(scene, _read(folder / SUMMARY, folders)):
            return folder
    return None


def depth_document(scene: MapFolder, folders: Folders) -> dict[str, Any] | None:
    """Return volume, mean depth and the areas and volumes by depth; None without a depth."""
    folder = depth_folder(scene, folders)
    if folder is None:
        return None
    entries = scene.summary["depth"] if folder == scene.path else _read(folder / SUMMARY, folders)
    return {key: value for key, value in entries.items() if key in _DEPTH_ENTRIES}


def exposure_rows(scene: MapFolder, folders: Folders) -> list[dict[str, Any]] | None:
    """Return the consequences of ``exposure.json`` in the map's folder or beside it; None without one."""
    for folder in (scene.path, *_beside(scene, folders, "exposure")):
        if (folder / _EXPOSURE).is_file():
            document = _read(folder / _EXPOSURE, folders)
            rows = document.get("consequences")
            if _is_of(scene, document.get("map", {})) and isinstance(rows, list):
                return rows
    return None


def _beside(scene: MapFolder, folders: Folders, name: str) -> list[Path]:
    return [folder for folder in (scene.path / name, scene.path.parent / name) if folders.contains(folder)]


def _is_of(scene: MapFolder, document: Any) -> bool:
    """Return True if grid and time of a document are those of the map."""
    return (
        isinstance(document, dict)
        and document.get("grid") == scene.summary["grid"]
        and document.get("datetime") == scene.summary.get("datetime")
    )


def _read(file: Path, folders: Folders) -> dict[str, Any]:
    try:
        folders.checked(str(file))
        return _parsed(file, file.stat().st_mtime_ns)
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{file}: cannot be read ({error}); make it again, or remove it") from error


@lru_cache(maxsize=32)
def _parsed(file: Path, changed: int) -> dict[str, Any]:
    """Return the content of a JSON file; ``changed`` is the time of its last change."""
    document = json.loads(file.read_text(encoding="utf-8"), parse_constant=refuse_constant)
    return document if isinstance(document, dict) else {}
