"""Finished scenes of an output folder, read from their products."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from floodseg.cluster.fingerprint import finished_entry
from floodseg.errors import DataError
from floodseg.geo.grid import GeoGrid
from floodseg.products.folder import ITEM, SUMMARY
from floodseg.products.stac import outline

SCENES = "scenes"
"""Name of the folder that holds a subfolder for each scene."""
COLLECTION = "collection.json"
"""File of the STAC collection of all scenes."""
COLLECTION_ID = "floodseg"
"""Identifier of that collection."""


@dataclass(frozen=True, slots=True)
class FinishedScene:
    """Metadata of a finished scene, from its products."""

    id: str
    item: dict[str, Any]
    """Content of item.json. A scene without a date has no such file; then only geometry, bbox and gsd are set."""
    summary: dict[str, Any]
    """Content of summary.json."""

    @property
    def grid(self) -> GeoGrid:
        """Pixel grid of the rasters."""
        return _grid(self.summary)

    @property
    def time(self) -> datetime | None:
        """Acquisition time; None if it is unknown."""
        text = self.summary["datetime"]
        return None if text is None else datetime.fromisoformat(text)


def finished_scenes(out_dir: Path) -> list[FinishedScene]:
    """Return the finished scenes of ``out_dir``, ordered by acquisition time and name. Undated scenes come first.

    Raises:
        DataError: the summary or item of a scene cannot be read.
    """
    scenes = [_read(folder) for folder in _folders(out_dir / SCENES) if finished_entry(folder)]
    return sorted(scenes, key=lambda scene: (scene.summary["datetime"] or "", scene.id))


def _folders(parent: Path) -> Iterable[Path]:
    if not parent.is_dir():
        return []
    return (path for path in parent.iterdir() if path.is_dir() and not path.name.startswith("."))


def _read(folder: Path) -> FinishedScene:
    try:
        summary = json.loads((folder / SUMMARY).read_text(encoding="utf-8"))
        dated = summary["datetime"] is not None
        item = json.loads((folder / ITEM).read_text(encoding="utf-8")) if dated else outline(_grid(summary))
    except (OSError, ValueError) as error:
        raise DataError(f"{folder}: its JSON files cannot be read ({error}); remove it, and start again") from error
    return FinishedScene(folder.name, item, summary)


def _grid(summary: dict[str, Any]) -> GeoGrid:
    grid = summary["grid"]
    return GeoGrid(grid["crs"], tuple(grid["transform"]), grid["height"], grid["width"])
