"""Fetched passes on disk: their images and items, and lists of them."""

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from floodseg.bands import SENSORS
from floodseg.catalog.passes import Pass
from floodseg.errors import RunFolderError
from floodseg.geo.grid import GeoGrid
from floodseg.system.files import write_text
from floodseg.workflows.pass_images import CLASSES
from floodseg.workflows.pass_item import AREA, AREA_FILE, CHECKSUM, COVERED_SHARE, ITEM_FILE, MAP_NOTES, relative_to


@dataclass(frozen=True)
class FetchedPass:
    """Images of a pass on disk."""

    folder: Path
    overpass: Pass
    item: Mapping[str, Any]
    """STAC item; its files are relative to ``folder``."""

    @property
    def images(self) -> tuple[str, ...]:
        """Image files in the form of the settings ``sar`` and ``optical``."""
        names = (name for name in self.item["assets"] if name not in (CLASSES, AREA))
        return tuple(str(self.folder / f"{name}.tif") for name in names)

    @property
    def area(self) -> str:
        """File with the polygons of the area."""
        return str(self.folder / AREA_FILE)

    @property
    def cloud_mask(self) -> str | None:
        """Scene classification; None for radar and where the catalogue has none."""
        return str(self.folder / f"{CLASSES}.tif") if CLASSES in self.item["assets"] else None

    @property
    def predict_flags(self) -> str:
        """Flags of ``floodseg predict`` that name the files."""
        names = " ".join(shlex.quote(name) for name in self.images)
        mask = f" --cloud-mask {shlex.quote(self.cloud_mask)}" if self.cloud_mask else ""
        return f"--{self.overpass.sensor} {names}{mask} --aoi {shlex.quote(self.area)}"

    @property
    def covered_share(self) -> float:
        """Share of the area with valid pixels, 0 to 1."""
        return float(self.item["properties"][COVERED_SHARE])

    @property
    def grid(self) -> GeoGrid:
        """Grid of the radar image, or of the optical bands with the smallest pixels."""
        properties = self.item["properties"]
        height, width = properties["proj:shape"]
        a, b, c, d, e, f = properties["proj:transform"][:6]
        return GeoGrid(properties.get("proj:code") or properties["proj:wkt2"], (a, b, c, d, e, f), height, width)


def finished_item(folder: Path, checksum: str, *, overwrite: bool) -> dict[str, Any] | None:
    """Return the item of a pass that was fetched with the same settings, or None if it must be fetched.

    Raises:
        RunFolderError: the folder holds something else, and ``overwrite`` is False.
    """
    if not folder.exists():
        return None
    try:
        item: dict[str, Any] = json.loads((folder / ITEM_FILE).read_text(encoding="utf-8"))
        if item["properties"][CHECKSUM] == checksum:
            return item
    except (OSError, ValueError, KeyError, TypeError):
        pass
    if overwrite:
        return None
    raise RunFolderError(
        f"{folder}: holds files of another area or of other settings; set `overwrite`, or set another `out_dir`"
    )


def set_map_notes(fetched: FetchedPass, notes: Sequence[str]) -> None:
    """Store notes on the map in the item of its pass, from which the summary of the map takes them."""
    properties = {**fetched.item["properties"], MAP_NOTES: list(notes)}
    write_text(fetched.folder / ITEM_FILE, json.dumps({**fetched.item, "properties": properties}, indent=2) + "\n")


def write_lists(out_dir: Path, fetched: Sequence[FetchedPass]) -> list[Path]:
    """Write a STAC item collection of the passes of each sensor, and return the files."""
    written = []
    for sensor in SENSORS:
        items = [relative_to(done.item, done.folder.name) for done in fetched if done.overpass.sensor == sensor]
        if items:
            path = out_dir / f"{sensor}.json"
            write_text(path, json.dumps({"type": "FeatureCollection", "features": items}, indent=2) + "\n")
            written.append(path)
    return written
