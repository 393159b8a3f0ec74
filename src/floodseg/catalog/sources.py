"""Catalogues of satellite images: Planetary Computer, Earth Search, and STAC APIs described by a TOML file."""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args
from urllib.parse import urlsplit

from floodseg.bands import L2A_BANDS, SAR_BANDS, SarUnits, Sensor, SensorSet
from floodseg.catalog.items import SCENE_CLASSES
from floodseg.catalog.scaling import OffsetRule
from floodseg.config.base import require
from floodseg.errors import ConfigError
from floodseg.messages import SENSOR_NAMES, redacted

NOT_TERRAIN_CORRECTED = (
    "holds Sentinel-1 GRD in radar geometry, which is not terrain-corrected: its pixels are up to several "
    "kilometres from their true position; use a collection of terrain-corrected backscatter (RTC), such as "
    "sentinel-1-rtc of planetary-computer"
)


@dataclass(frozen=True, slots=True)
class Collection:
    """A collection of one sensor, and how its items name and store bands."""

    id: str
    sensor: Sensor
    asset_keys: Mapping[str, str]
    """Canonical band name -> key of the asset."""
    sar_units: SarUnits = "linear"
    """Unit of radar bands. Only for radar."""
    nodata: float | None = None
    """Nodata value of radar bands whose items hold none."""
    offset_rule: OffsetRule = "flag"
    """Metadata that take precedence for the offset of reflectance. Only for optical bands."""


@dataclass(frozen=True, slots=True)
class Source:
    """A STAC API with at most one collection per sensor."""

    name: str
    address: str
    """Address of the API without a slash at its end; ``/search`` is below it."""
    collections: tuple[Collection, ...]
    data_hosts: tuple[str, ...] = ()
    """Hosts of the band files; empty if only the items name them. Files on other hosts are not read."""
    token_address: str | None = None
    """Address that returns tokens for reading; ``/ACCOUNT/CONTAINER`` is added. None if files are public."""

    @property
    def host(self) -> str:
        """Host of the API, with its port if it has one."""
        return urlsplit(self.address).netloc

    @property
    def hosts(self) -> frozenset[str]:
        """Names of the hosts of the API, of the tokens and, as far as they are known, of the files."""
        addresses = [self.address, self.token_address or "", *(f"//{host}" for host in self.data_hosts)]
        return frozenset(str(urlsplit(address).hostname) for address in addresses if address)

    def collection(self, sensor: Sensor) -> Collection | None:
        """Return the collection of one sensor, or None."""
        return next((collection for collection in self.collections if collection.sensor == sensor), None)


_RTC = Collection("sentinel-1-rtc", "sar", {"VV": "vv", "VH": "vh"}, "linear", -32768.0)
_BY_NUMBER = {band: band for band in (*L2A_BANDS, SCENE_CLASSES)}
_BY_COLOUR = {
    "B01": "coastal", "B02": "blue", "B03": "green", "B04": "red", "B05": "rededge1", "B06": "rededge2",
    "B07": "rededge3", "B08": "nir", "B8A": "nir08", "B09": "nir09", "B11": "swir16", "B12": "swir22",
    SCENE_CLASSES: "scl",
}  # fmt: skip
_EARTH_SEARCH = "https://earth-search.aws.element84.com"
_C1_HOST = "e84-earth-search-sentinel-data.s3.us-west-2.amazonaws.com"

SOURCES: dict[str, Source] = {
    source.name: source
    for source in (
        Source(
            "planetary-computer",
            "https://planetarycomputer.microsoft.com/api/stac/v1",
            (_RTC, Collection("sentinel-2-l2a", "optical", _BY_NUMBER)),
            ("sentinel1euwestrtc.blob.core.windows.net", "sentinel2l2a01.blob.core.windows.net"),
            "https://planetarycomputer.microsoft.com/api/sas/v1/token",
        ),
        Source(
            "earth-search",
            f"{_EARTH_SEARCH}/v1",
            (Collection("sentinel-2-l2a", "optical", _BY_COLOUR),),
            ("sentinel-cogs.s3.us-west-2.amazonaws.com",),
        ),
        Source(
            "earth-search-c1",
            f"{_EARTH_SEARCH}/v1",
            (Collection("sentinel-2-c1-l2a", "optical", _BY_COLOUR, offset_rule="band"),),
            (_C1_HOST,),
        ),
        Source(
            "earth-search-v2",
            f"{_EARTH_SEARCH}/v2",
            (Collection("sentinel-2-l2a", "optical", _BY_COLOUR, offset_rule="band"),),
            (_C1_HOST,),
        ),
    )
}
"""Built-in sources by name."""


def source_of(setting: str) -> Source:
    """Return the built-in source of this name, or the one that a TOML file describes.

    Raises:
        ConfigError: the name is unknown, the file cannot be read, or its content is invalid.
    """
    if setting in SOURCES:
        return SOURCES[setting]
    path = Path(setting)
    require(path.suffix == ".toml", "source", setting, f"one of {', '.join(SOURCES)}, or a TOML file")
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"`source={setting}`: cannot be read ({error.strerror}); correct the path") from error
    except ValueError as error:
        raise ConfigError(f"`source={setting}`: is not TOML ({error}); correct it") from error
    return _SourceFile(setting).source(document)


def collections_of(source: Source, sensors: SensorSet) -> tuple[Collection, ...]:
    """Return the collections of the sensors.

    Raises:
        ConfigError: the source has none for a sensor.
    """
    wanted: Sequence[Sensor] = ("sar", "optical") if sensors == "both" else (sensors,)
    found = {sensor: source.collection(sensor) for sensor in wanted}
    for sensor, collection in found.items():
        if collection is None:
            reason = ", since its Sentinel-1 GRD is not terrain-corrected" if source.name in SOURCES else ""
            other: Sensor = "optical" if sensor == "sar" else "sar"
            choice = f"set `sensors={other}`, or " if source.collection(other) else ""
            raise ConfigError(
                f"`source={source.name}`: has no {SENSOR_NAMES[sensor]} images that floodseg can map{reason}; {choice}"
                "use another source, such as planetary-computer"
            )
    return tuple(collection for collection in found.values() if collection is not None)


class _SourceFile:
    """Reader of a TOML file that describes a source, with the setting in its messages."""

    def __init__(self, path: str) -> None:
        self.label = f"`source={path}`"
        self.name = Path(path).stem

    def source(self, document: Mapping[str, Any]) -> Source:
        self._check_keys("", document, ("name", "address", "token_address", "data_hosts", "sar", "optical"))
        address, tokens = self._address(document, "address"), None
        if "token_address" in document:
            tokens = self._address(document, "token_address")
        sensors: tuple[Sensor, ...] = ("sar", "optical")
        collections = [self._collection(sensor, document[sensor]) for sensor in sensors if sensor in document]
        if not collections:
            raise ConfigError(f"{self.label}: has neither a table [sar] nor a table [optical]; add one")
        hosts = tuple(map(str, document.get("data_hosts", ())))
        return Source(str(document.get("name", self.name)), address, tuple(collections), hosts, tokens)

    def _address(self, document: Mapping[str, Any], key: str) -> str:
        value = str(document.get(key))
        parts = urlsplit(value)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or "@" in parts.netloc:
            raise ConfigError(
                f"{self.label}: {key} is {redacted(value)}, but must be http(s)://HOST[:PORT][/PATH] without user "
                "name, password or query; correct it"
            )
        return value.rstrip("/")

    def _collection(self, sensor: Sensor, table: Any) -> Collection:
        bands = SAR_BANDS if sensor == "sar" else (*L2A_BANDS, SCENE_CLASSES)
        if not isinstance(table, Mapping) or not isinstance(table.get("collection"), str):
            raise ConfigError(f"{self.label}: [{sensor}] has no collection; add the id of the collection")
        own = ("units", "nodata") if sensor == "sar" else ("offset",)
        self._check_keys(f"[{sensor}] ", table, ("collection", "assets", *own))
        keys = table.get("assets")
        if not isinstance(keys, Mapping) or not keys or not set(keys) <= set(bands):
            raise ConfigError(
                f"{self.label}: [{sensor}] has no table assets of band names and asset keys; write one whose names are "
                f"among {', '.join(bands)}"
            )
        if sensor == "sar" and set(keys) != set(SAR_BANDS):
            raise ConfigError(f"{self.label}: [sar] assets must name VV and VH; add the missing one")
        units, rule = table.get("units", "db" if sensor == "optical" else None), table.get("offset", "flag")
        if units not in get_args(SarUnits):
            raise ConfigError(f"{self.label}: [sar] units is {units}; set linear, amplitude or db")
        if rule not in get_args(OffsetRule):
            raise ConfigError(f"{self.label}: [optical] offset is {rule}; set flag or band")
        if sensor == "sar" and is_grd(table["collection"]):
            raise ConfigError(f"{self.label}: collection {table['collection']} {NOT_TERRAIN_CORRECTED}")
        nodata = table.get("nodata")
        if nodata is not None and (isinstance(nodata, bool) or not isinstance(nodata, int | float)):
            raise ConfigError(f"{self.label}: [sar] nodata is {nodata}, which is no number; correct it")
        names = {band: str(keys[band]) for band in bands if band in keys}
        return Collection(table["collection"], sensor, names, units, nodata, rule)

    def _check_keys(self, place: str, table: Mapping[str, Any], known: Sequence[str]) -> None:
        unknown = sorted(set(table) - set(known))
        if unknown:
            raise ConfigError(f"{self.label}: {place}has an unknown key {unknown[0]}; the keys are {', '.join(known)}")


def is_grd(collection: str) -> bool:
    """Return True if the name of a collection says that it holds GRD or SLC that is not terrain-corrected."""
    words = collection.lower().replace("_", "-").split("-")
    return not {"rtc", "gamma0", "nrb"} & set(words) and bool({"grd", "grdh", "slc"} & set(words))
