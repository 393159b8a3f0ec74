"""Finished maps in the folders of the app."""

import hashlib
import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from types import NoneType
from typing import Any, get_args

from rasterio._err import CPLE_BaseError  # raised for some coordinate systems; rasterio has no public name for it
from rasterio.errors import RasterioError
from rasterio.warp import transform_bounds

from floodseg.bands import SarUnits
from floodseg.errors import DataError, FloodsegError
from floodseg.geo.grid import GeoGrid
from floodseg.products.cog import COLOURS
from floodseg.products.folder import CLASSES, MAP_PRODUCTS, QUICKLOOK, SUMMARY
from floodseg.products.strips import CLASS_NAMES, EXCLUDED, FLOOD, LAND, PERMANENT_WATER
from floodseg.server.errors import RequestError
from floodseg.server.folders import Folders
from floodseg.server.palettes import hex_colour

_MAX_DEPTH = 4
"""Deepest level below a folder of the app at which maps are found."""
_KEYS = {FLOOD: "flood", PERMANENT_WATER: "permanent_water", LAND: "land", EXCLUDED: "excluded"}
"""Key of each code in ``summary.json``."""
_NUMBER, _NUMBER_OR_NONE = (int, float), (int, float, NoneType)
_ENTRIES: dict[str, Any] = {
    "area_km2": {...: _NUMBER_OR_NONE},
    "pixels": {...: int},
    "inputs": {...: [str]},
    "settings": {"sar_units": {*get_args(SarUnits), None}, "optical_offset": _NUMBER_OR_NONE},
    "grid": {"crs": (str, NoneType), "transform": [_NUMBER], "height": int, "width": int},
    "assumptions": [str],
    "datetime": (str, NoneType),
    "valid_share": _NUMBER_OR_NONE,
    "sensor_shares": (dict, NoneType),
    "depth": (dict, NoneType),
}
"""Entries of ``summary.json`` that are read, and their types, as :func:`_fits` takes them."""


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
        if a * e == b * d or min(grid["height"], grid["width"]) < 1:
            raise ValueError("a grid without pixels")
        return GeoGrid(grid["crs"], (a, b, c, d, e, f), int(grid["height"]), int(grid["width"]))

    @cached_property
    def bounds(self) -> tuple[float, float, float, float] | None:
        """West, south, east and north in degrees; None without a place on the Earth. East may exceed 180."""
        return degree_bounds(self.grid)

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
                "code": code, "name": self.class_names[code], "color": hex_colour(COLOURS[code]),
                "hatch": code == EXCLUDED, "km2": areas.get(key),
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
        self._known: dict[str, tuple[tuple[int, int], MapFolder]] = {}

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
        known = self._known.get(identifier)
        if known is not None and (known[1].path / SUMMARY).is_file():
            return self._read(known[1].path)
        path = next((path for path in self._paths() if scene_id(path) == identifier), None)
        if path is None:
            raise RequestError(f"map '{identifier}': is not in the folders of the app; reload the list of maps", 404)
        return self._read(path)

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
                deepest = len(path.relative_to(root).parts) >= _MAX_DEPTH
                subfolders[:] = [] if deepest else sorted(each for each in subfolders if not each.startswith("."))

    def _read(self, path: Path) -> MapFolder:
        identifier, file = scene_id(path), path / SUMMARY
        try:
            status = self._folders.checked(str(file)).stat()
        except OSError as error:
            raise DataError(f"{file}: cannot be read ({error.strerror}); change its permissions") from error
        state = status.st_mtime_ns, status.st_size
        known = self._known.get(identifier)
        if known is None or known[0] != state:
            known = state, _map_folder(path, self._folders.read_json(file), status.st_mtime)
            self._known[identifier] = known
        return known[1]


def scene_id(path: Path) -> str:
    """Return the identifier of the map in a folder."""
    return hashlib.sha256(str(path).encode(errors="surrogateescape")).hexdigest()[:12]


def degree_bounds(grid: GeoGrid) -> tuple[float, float, float, float] | None:
    """Return west, south, east and north in degrees; None without a place on the Earth. East may exceed 180."""
    if grid.crs is None:
        return None
    x, y = zip(*(grid.affine @ corner for corner in ((0, 0), (grid.width, grid.height))), strict=True)
    try:
        west, south, east, north = transform_bounds(grid.crs, "EPSG:4326", min(x), min(y), max(x), max(y))
    except (RasterioError, CPLE_BaseError):
        return None
    if not (all(map(math.isfinite, (west, south, east, north))) and south < north):
        return None
    return west, south, east + 360 if east < west else east, north


def _map_folder(path: Path, summary: Any, mapped: float) -> MapFolder:
    wrong: object = next((name for name in _ENTRIES if not _fits(summary, {name: _ENTRIES[name]})), None)
    try:
        if wrong is None:
            found = MapFolder(path, summary, mapped)
            found.document()
            return found
    except (LookupError, TypeError, ValueError, OverflowError) as error:
        wrong = repr(error)
    raise DataError(f"{path / SUMMARY}: is not the summary of a map ({wrong}); map the scene again, or remove the file")


def _fits(value: Any, shape: Any) -> bool:
    """Return True if a value of JSON has a shape.

    A shape is a type or several, a set of values, a list with the shape of all entries, or a dictionary with the shapes
    of some entries; ``...`` stands for all entries.
    """
    if isinstance(shape, dict):
        if not isinstance(value, dict):
            return False
        parts = dict.fromkeys(value, shape[...]) if ... in shape else shape
        return all(_fits(value.get(name), part) for name, part in parts.items())
    if isinstance(shape, list):
        return isinstance(value, list) and all(_fits(entry, shape[0]) for entry in value)
    if isinstance(shape, set):
        return isinstance(value, str | None) and value in shape
    return isinstance(value, shape)
