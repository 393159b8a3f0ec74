"""Settings of ``floodseg exposure``."""

import re
from dataclasses import dataclass
from pathlib import Path

from floodseg.config.base import Settings, require, require_setting
from floodseg.errors import ConfigError

COUNTED = ("population", "buildings", "roads", "landcover")
"""Settings of the layers that are counted, one file each."""
SOURCES = (*COUNTED, "regions", "depth")
"""Settings of all files; the source of each is the setting with ``_source`` appended."""

_CLASS = re.compile(r"([^=,]+)=(\d{1,5}(?:,\d{1,5})*)")
_MAX_CODE = 65535


@dataclass(frozen=True)
class ExposureConfig(Settings):
    """Settings of ``floodseg exposure``: layers, their sources, and the output folder."""

    population: str | None = None
    """Raster of persons per cell, such as GHS-POP or WorldPop, on any grid."""
    buildings: str | None = None
    """Polygons of building footprints (GeoPackage, GeoJSON, Shapefile, FlatGeobuf or KML)."""
    roads: str | None = None
    """Lines of roads (the same formats)."""
    landcover: str | None = None
    """Raster of codes of land cover, such as ESA WorldCover, on any grid."""
    regions: str | None = None
    """Polygons of administrative or other areas. Figures are given for each, and the total is that of their union. By
    default it is that of the extent of the map."""
    depth: str | None = None
    """Raster of flood depth in metres on the grid of the map, such as depth.tif of floodseg depth. People and buildings
    are then given by class of depth, too."""
    out_dir: Path = Path("exposure")
    """Folder of the products."""
    population_source: str | None = None
    """Name, date and licence of the population grid, separated by commas: "GHS-POP R2023A, 2020, CC BY 4.0". The name
    may contain commas."""
    buildings_source: str | None = None
    """Name, date and licence of the buildings, such as "OpenStreetMap, 2026-11-01, ODbL 1.0"."""
    roads_source: str | None = None
    """Name, date and licence of the roads."""
    landcover_source: str | None = None
    """Name, date and licence of the land cover, such as "ESA WorldCover v200, 2021, CC BY 4.0"."""
    regions_source: str | None = None
    """Name, date and licence of the regions."""
    depth_source: str | None = None
    """Name, date and licence of the depths, which are those of the elevation model that they were made with."""
    landcover_classes: tuple[str, ...] = ("cropland=40", "built-up=50")
    """Classes of land cover to measure, each as its name and its codes: cropland=40 or forest=10,95. The default has
    the codes of ESA WorldCover."""
    road_class: str | None = None
    """Attribute with the class of a road. By default the first of highway, fclass and class that the layer has."""
    region_name: str | None = None
    """Attribute with the name of a region. By default name, if the layer has it; otherwise regions are numbered."""
    datetime: str | None = None
    """Acquisition time of the map (ISO 8601). By default it is read from the tags or the name of the file."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in (*SOURCES, *(f"{layer}_source" for layer in SOURCES)):
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, str(value))
                require(bool(str(value).strip()), name, "''", "a text; it is empty")
        object.__setattr__(self, "landcover_classes", tuple(self.landcover_classes))
        require_setting(self, "landcover", "landcover_classes")
        require_setting(self, "roads", "road_class")
        require_setting(self, "regions", "region_name")
        if self.depth is not None and self.population is None and self.buildings is None:
            raise ConfigError(
                f"`depth={self.depth}`: has no effect without `population` or `buildings`; leave it out, or set one"
            )
        self.classes()
        for layer in SOURCES:
            require_setting(self, layer, f"{layer}_source")
            self.source(layer)

    def require_layer(self) -> None:
        """Raise ConfigError if no layer is set. A configuration without one exists as the default of the flags."""
        if all(getattr(self, name) is None for name in COUNTED):
            raise ConfigError(
                "no layer to count is given; set at least one of `population`, `buildings`, `roads` and `landcover`"
            )

    def classes(self) -> dict[str, tuple[int, ...]]:
        """Return the codes of each class of land cover by its name.

        Raises:
            ConfigError: an entry is not a name and codes, or a name or a code occurs twice.
        """
        found: dict[str, tuple[int, ...]] = {}
        for entry in self.landcover_classes:
            match = _CLASS.fullmatch(entry.strip())
            codes = tuple(map(int, match[2].split(","))) if match else ()
            fits = match is not None and max(codes) <= _MAX_CODE
            require(fits, "landcover_classes", entry, f"a name and codes from 0 to {_MAX_CODE}, such as cropland=40")
            assert match is not None
            name = match[1].strip()
            taken = name in found or any(set(codes) & set(others) for others in found.values())
            require(not taken, "landcover_classes", entry, "another name with other codes than the entries before")
            found[name] = codes
        require(0 < len(found) < 200, "landcover_classes", "", "from 1 to 199 classes")
        return found

    def source(self, layer: str) -> tuple[str, str, str] | None:
        """Return name, date and licence of a layer, None if they are not set.

        Raises:
            ConfigError: the text has not three parts.
        """
        text = getattr(self, f"{layer}_source")
        if text is None:
            return None
        parts = [part.strip() for part in text.rsplit(",", 2)]
        fits = len(parts) == 3 and all(parts)
        rule = "name, date and licence, separated by commas, such as 'OpenStreetMap, 2026-11-01, ODbL 1.0'"
        require(fits, f"{layer}_source", text, rule)
        return parts[0], parts[1], parts[2]
