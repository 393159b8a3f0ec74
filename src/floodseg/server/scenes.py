"""Finished maps in the folders of the app."""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from rasterio.errors import RasterioError
from rasterio.warp import transform_bounds

from floodseg.errors import DataError, FloodsegError
from floodseg.geo.grid import GeoGrid
from floodseg.products.cog import COLOURS
from floodseg.products.folder import CLASSES, MAP_PRODUCTS, QUICKLOOK, SUMMARY
from floodseg.products.strips import CLASS_NAMES, EXCLUDED, FLOOD, LAND, PERMANENT_WATER
from floodseg.server.errors import RequestError
from floodseg.server.folders import Folders

MAX_DEPTH = 4
"""Deepest level below a folder of the app at which maps are found."""
_MAX_SUMMARY_BYTES = 20_000_000
_KEYS = {FLOOD: "flood", PERMANENT_WATER: "permanent_water", LAND: "land", EXCLUDED: "excluded"}
"""Key of each code in ``summary.json``."""
_ENTRIES = {"area_km2": dict, "pixels": dict, "inputs": dict, "settings": dict, "grid": dict, "assumptions": list}
"""Entries of ``summary.json`` that are read without a check, and their types."""


@dataclass(frozen=True, eq=False)
class MapFolder:
    """A folder with a finished map."""

    path: Path
    summary: Mapping[str, Any]
    """Content of ``summary.json``."""
    mapped: float
    """Time at which the map was finished, in seconds since 1970."""

    @property
    def id(self) -> str:
        """Identifier in addresses, the same after a restart."""
        return scene_id(self.path)

    @cached_property
    def grid(self) -> GeoGrid:
        """Grid of the products."""
        grid = self.summary["grid"]
        a, b, c, d, e, f = map(float, grid["transform"])
        return GeoGrid(grid["crs"], (a, b, c, d, e, f), int(grid["height"]), int(grid["width"]))

    @cached_property
    def bounds(self) -> tuple[float, float, float, float] | None:
        """West, south, east and north in degrees; None without a place on the Earth. East may exceed 180."""
        grid = self.grid
        if grid.crs is None:
            return None
        x, y = zip(*(grid.affine @ corner for corner in ((0, 0), (grid.width, grid.height))), strict=True)
        try:
            west, south, east, north = transform_bounds(grid.crs, "EPSG:4326", min(x), min(y), max(x), max(y))
        except RasterioError:
            return None
        return west, south, east + 360 if east < west else east, north

    @property
    def knows_permanent_water(self) -> bool:
        """True if permanent water is a class of its own."""
        return not {"permanent_water", "sar_before"}.isdisjoint(self.summary["inputs"])

    @property
    def class_names(self) -> dict[int, str]:
        """Name of each code of ``flood.tif``."""
        return CLASS_NAMES | ({} if self.knows_permanent_water else {FLOOD: "open water"})

    @property
    def areas(self) -> list[dict[str, Any]]:
        """Code, name, colour, hatch and square kilometres of each class of the map."""
        areas, pixels = self.summary["area_km2"], self.summary["pixels"]
        return [
            {
                "code": code, "name": self.class_names[code], "color": hex_colour(code), "hatch": code == EXCLUDED,
                "km2": areas.get(key),
            }
            for code, key in _KEYS.items()
            if pixels.get(key) or code in (FLOOD, LAND)
        ]  # fmt: skip

    @property
    def products(self) -> list[str]:
        """Names of the products in the folder."""
        names = (*MAP_PRODUCTS.names, *MAP_PRODUCTS.optional)
        return [name for name in names if (self.path / name).is_file()]

    def document(self) -> dict[str, Any]:
        """Return what the list of maps shows."""
        summary, areas = self.summary, self.summary["area_km2"]
        has_picture = (self.path / QUICKLOOK).is_file()
        return {
            "id": self.id,
            "name": self.path.name,
            "path": str(self.path),
            "datetime": summary.get("datetime"),
            "mapped": datetime.fromtimestamp(self.mapped, UTC).isoformat(timespec="seconds"),
            "model": Path(str(summary.get("model"))).name,
            "area_km2": {name: areas.get(name) for name in ("flood", "permanent_water", "land")},
            "valid_share": summary.get("valid_share"),
            "bounds": self.bounds,
            "thumbnail": f"api/scenes/{self.id}/thumbnail.png" if has_picture else None,
        }


class Scenes:
    """Finder of finished maps."""

    def __init__(self, folders: Folders) -> None:
        self._folders = folders
        self._known: dict[Path, tuple[tuple[int, int], MapFolder]] = {}

    def listing(self) -> dict[str, Any]:
        """Return all maps, the newest first, and a sentence on each that cannot be read."""
        documents, problems = [], []
        for path in self._paths():
            try:
                documents.append(self._read(path).document())
            except FloodsegError as error:
                problems.append(str(error))
        return {"scenes": sorted(documents, key=lambda each: each["mapped"], reverse=True), "problems": problems}

    def get(self, identifier: str) -> MapFolder:
        """Return a map by its identifier.

        Raises:
            RequestError: there is no such map, or its summary is a link to a file outside the folders.
            DataError: its summary is damaged.
        """
        known = next((path for path in self._known if scene_id(path) == identifier), None)
        if known is None or not (known / SUMMARY).is_file():
            known = next((path for path in self._paths() if scene_id(path) == identifier), None)
        if known is None:
            raise RequestError(f"map '{identifier}': is not in the folders of the app; reload the list of maps", 404)
        return self._read(known)

    def _paths(self) -> Iterator[Path]:
        """Yield the folders of finished maps. Links to folders are not followed."""
        seen = set()
        for root in self._folders.by_name.values():
            for name, subfolders, files in os.walk(root):
                path = Path(name)
                is_map = SUMMARY in files and CLASSES in files
                if is_map and path not in seen:
                    seen.add(path)
                    yield path
                deepest = len(path.relative_to(root).parts) >= MAX_DEPTH
                subfolders[:] = [] if deepest else sorted(each for each in subfolders if not each.startswith("."))

    def _read(self, path: Path) -> MapFolder:
        file = self._folders.checked(str(path / SUMMARY))
        status = file.stat()
        state = status.st_mtime_ns, status.st_size
        known = self._known.get(path)
        if known is None or known[0] != state:
            known = state, MapFolder(path, _read_summary(file, status.st_size), status.st_mtime)
            self._known[path] = known
        return known[1]


def scene_id(path: Path) -> str:
    """Return the identifier of the map in a folder."""
    return hashlib.sha256(str(path).encode(errors="surrogateescape")).hexdigest()[:12]


def hex_colour(code: int) -> str:
    """Return the colour of a class as ``#rrggbb``."""
    return "#" + bytes(COLOURS[code][:3]).hex()


def refuse_constant(name: str) -> None:
    """Raise ValueError for NaN and infinities, which are not JSON."""
    raise ValueError(f"{name} is no number of JSON")


def _read_summary(file: Path, size: int) -> dict[str, Any]:
    remedy = "map the scene again, or remove the file"
    if size > _MAX_SUMMARY_BYTES:
        raise DataError(f"{file}: has {size} bytes, too many for the summary of a map; {remedy}")
    try:
        summary = json.loads(file.read_text(encoding="utf-8"), parse_constant=refuse_constant)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{file}: is not JSON ({error}); {remedy}") from error
    try:
        wrong = [name for name, kind in _ENTRIES.items() if not isinstance(summary[name], kind)]
        MapFolder(file.parent, summary, 0).document()
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise DataError(f"{file}: is not the summary of a map ({error!r}); {remedy}") from error
    if wrong:
        raise DataError(f"{file}: is not the summary of a map ({wrong[0]}); {remedy}")
    found: dict[str, Any] = summary
    return found
