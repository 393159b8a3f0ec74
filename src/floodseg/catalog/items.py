"""Data model of catalogue items: one Sentinel-1 slice or Sentinel-2 tile, and its band files."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from floodseg.bands import SarUnits, Sensor

OrbitState = Literal["ascending", "descending"]

SCENE_CLASSES = "SCL"
"""Key of the Sentinel-2 scene classification among the assets of an item."""


@dataclass(frozen=True, slots=True)
class Scaling:
    """Conversion of stored values to physical values: ``stored * scale + offset``.

    The result is reflectance for optical bands, backscatter in ``sar_units`` for radar bands, and a code for the scene
    classification.
    """

    scale: float = 1.0
    offset: float = 0.0
    nodata: float | None = None
    """Stored value of pixels without data."""
    sar_units: SarUnits | None = None
    """Unit of radar bands: linear power, amplitude or dB. None for other bands."""


@dataclass(frozen=True, slots=True)
class SourceAsset:
    """One band of an item: a raster file with a single band."""

    band: str
    """Canonical name: VV, VH, B02, ..., or SCL."""
    key: str
    """Name of the asset in the item, for messages."""
    href: str
    """Address without the access token that a signed address holds."""
    scaling: Scaling
    other_scaling: Scaling | None = None
    """Alternative conversion if the metadata are doubtful. The darkest pixels decide which one is correct:
    :func:`floodseg.catalog.scaling.settle_offset`."""
    crs: str | None = None
    """Coordinate system of the grid, such as EPSG:32630; None if the item does not say."""
    shape: tuple[int, int] | None = None
    """Rows and columns; None if the item does not say."""
    transform: tuple[float, float, float, float, float, float] | None = None
    """Affine coefficients a, b, c, d, e, f from pixels to coordinates; None if the item does not say."""
    bytes: int | None = None
    """Size of the file; None if the item does not say."""


@dataclass(frozen=True)
class SourceItem:
    """One item of a catalogue: a slice of a radar overpass or a tile of an optical one."""

    id: str
    sensor: Sensor
    platform: str
    """Lower case, such as sentinel-1a."""
    datetime: datetime
    """Acquisition time in UTC."""
    bbox: tuple[float, float, float, float]
    """West, south, east, north in degrees; west is larger than east across the 180th meridian."""
    geometry: Mapping[str, Any]
    """Footprint: GeoJSON Polygon or MultiPolygon in degrees."""
    assets: Mapping[str, SourceAsset]
    """Assets by canonical band name."""
    source: str
    """Name of the source: planetary-computer, earth-search, or the name in a TOML file."""
    collection: str
    self_href: str | None
    """Address of the item itself, without signature, for ``derived_from`` links."""
    orbit_state: OrbitState | None = None
    relative_orbit: int | None = None
    processing_baseline: str | None = None
    """Sentinel-2 processing baseline, such as 05.11."""
    crs: str | None = None
    """Coordinate system of the grid, such as EPSG:32630; None if only the files hold it."""
    cloud_share: float | None = None
    """Share of the tile under cloud, 0 to 1; None for radar and where the catalogue does not say."""
    properties: Mapping[str, Any] = field(default_factory=dict)
    """Properties of the item that products copy: orbit, instrument and processing."""
    contradiction: str | None = None
    """Sentence on metadata that contradict each other, for the summary; None if they agree."""
