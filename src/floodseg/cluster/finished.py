"""Finished scenes of a folder, read from their own products."""

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
"""Folder of the scenes, each in one of its own."""
COLLECTION = "collection.json"
COLLECTION_ID = "floodseg"
"""File and identifier of the STAC collection over all scenes."""


@dataclass(frozen=True, slots=True)
class FinishedScene:
    """What the overview takes from a scene's products."""

    id: str
    item: dict[str, Any]
    """The content of item.json; of a scene without a date, which has none, its geometry, bbox and gsd."""
    summary: dict[str, Any]

    @property
    def grid(self) -> GeoGrid:
        """Of the rasters."""
        return _grid(self.summary)

    @property
    def time(self) -> datetime | None:
        """When the scene was taken; None where that is not known."""
        text = self.summary["datetime"]
        return None if text is None else datetime.fromisoformat(text)


def finished_scenes(out_dir: Path) -> list[FinishedScene]:
    """Return the finished scenes below ``out_dir``, ordered by acquisition time, then by name.

    Scenes without a date come first.

    Raises:
        DataError: the documents of one cannot be read.
    """
    scenes = [_read(folder) for folder in _folders(out_dir / SCENES) if finished_entry(folder)]
    return sorted(scenes, key=lambda scene: (scene.summary["datetime"] or "", scene.id))


def _folders(place: Path) -> Iterable[Path]:
    if not place.is_dir():
        return []
    return (path for path in place.iterdir() if path.is_dir() and not path.name.startswith("."))


def _read(folder: Path) -> FinishedScene:
    try:
        summary = json.loads((folder / SUMMARY).read_text(encoding="utf-8"))
        dated = summary["datetime"] is not None
        item = json.loads((folder / ITEM).read_text(encoding="utf-8")) if dated else outline(_grid(summary))
    except (OSError, ValueError) as error:
        raise DataError(f"{folder}: its documents cannot be read ({error}): remove it, and start again") from error
    return FinishedScene(folder.name, item, summary)


def _grid(summary: dict[str, Any]) -> GeoGrid:
    grid = summary["grid"]
    return GeoGrid(grid["crs"], tuple(grid["transform"]), grid["height"], grid["width"])
