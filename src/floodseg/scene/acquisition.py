"""Acquisition time of a scene, from a setting, tags or file names."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path, PurePosixPath

import rasterio
from rasterio.errors import RasterioError

from floodseg.config.predict import SceneConfig
from floodseg.errors import ConfigError
from floodseg.raster.access import check_local, gdal_settings
from floodseg.raster.drivers import PRODUCT_DRIVERS, open_with_drivers

_TAGS: tuple[tuple[str | None, str], ...] = (
    (None, "TIFFTAG_DATETIME"),
    ("IMAGERY", "ACQUISITIONDATETIME"),
    (None, "ACQUISITION_START_TIME"),
    (None, "ACQUISITION_DATETIME"),
    (None, "ACQUISITION_DATE"),
    (None, "DATATAKE_1_DATATAKE_SENSING_START"),
    (None, "PRODUCT_START_TIME"),
)
"""Metadata domain and name of each tag: TIFF, GDAL's imagery domain, and GDAL's Sentinel-1 and Sentinel-2 drivers."""

_TIFF_TIME = re.compile(r"(\d{4}):(\d\d):(\d\d)[ T](\d\d:\d\d:\d\d)")
_SENSING_TIME = re.compile(r"(?<!\d)(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)(?!\d)")
_DAY = re.compile(r"(?<!\d)(\d{4})([-_]?)(\d\d)\2(\d\d)(?!\d|T\d)")
_PRODUCT = re.compile(r"S[123][A-D]_", re.IGNORECASE)
_FIRST_YEAR = 1972


@dataclass(frozen=True, slots=True)
class Acquisition:
    """Acquisition time of a scene and its source."""

    time: datetime
    """In UTC."""
    source: str
    """Setting, tag or file name that holds the time."""


def acquisition_of(config: SceneConfig) -> Acquisition | None:
    """Return the acquisition time of a scene, or None if no source holds it.

    Sources, in this order: ``config.datetime``; the tags of the image that defines the grid (TIFFTAG_DATETIME as
    "YYYY:MM:DD HH:MM:SS" or ISO 8601, then acquisition tags); its product name
    (``S1A_IW_GRDH_1SDV_20200101T054321_...``); a day in its file name. A time without a zone is UTC, and a day is its
    midnight.

    Raises:
        ConfigError: ``config.datetime`` is not ISO 8601, or the file is remote and ``allow_remote`` is False.
    """
    if config.datetime is not None:
        try:
            return Acquisition(_utc(datetime.fromisoformat(config.datetime.strip())), "`datetime`")
        except (ValueError, OverflowError) as error:
            raise ConfigError(
                f"`datetime={config.datetime}`: must be a time in ISO 8601, such as 2020-01-31T05:43:21Z"
            ) from error
    preferred = (config.sar, config.optical) if config.grid == "sar" else (config.optical, config.sar)
    files = preferred[0] or preferred[1]
    if not files:
        return None
    check_local(files[0], "sar" if files is config.sar else "optical", allow_remote=config.allow_remote)
    return _from_tags(files[0], allow_remote=config.allow_remote) or _from_name(files[0])


def _from_tags(path: str, *, allow_remote: bool) -> Acquisition | None:
    try:
        with (
            rasterio.Env(**gdal_settings(allow_remote=allow_remote)),
            open_with_drivers(path, PRODUCT_DRIVERS) as source,
        ):
            tags: dict[str | None, Mapping[str, str]] = {domain: source.tags(ns=domain) for domain, _ in _TAGS}
    except (RasterioError, UnicodeDecodeError):
        # mapping opens the same file and reports the error
        return None
    for domain, name in _TAGS:
        text = tags[domain].get(name)
        time = _parse_time(text) if text else None
        if time:
            return Acquisition(time, f"tag {name} of {path}")
    return None


def _parse_time(text: str) -> datetime | None:
    """Parse a time in TIFF's format or ISO 8601. Return None for other texts and implausible times."""
    iso = _TIFF_TIME.sub(r"\1-\2-\3T\4", text.strip())
    try:
        time = _utc(datetime.fromisoformat(iso))
    except (ValueError, OverflowError):
        return None
    return time if _plausible(time) else None


def _from_name(path: str) -> Acquisition | None:
    file_name, *folders = reversed(PurePosixPath(path.split("?", maxsplit=1)[0]).parts)
    for part in (file_name, *(folder for folder in folders if _PRODUCT.match(folder))):
        # The first time is the start of sensing, later ones are its end and the processing time.
        for time in _SENSING_TIME.findall(part):
            found = _parse_time("{}-{}-{}T{}:{}:{}".format(*time))
            if found:
                return Acquisition(found, f"name {part}")
    for year, _, month, day in _DAY.findall(file_name):
        found = _parse_time(f"{year}-{month}-{day}")
        if found:
            return Acquisition(found, f"day in the name {file_name}")
    return None


def _utc(time: datetime) -> datetime:
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)


def _plausible(time: datetime) -> bool:
    """Return True for times from the first Landsat to now; the clock may be a day slow."""
    # The clock may be reset (a dead battery), so the installation time of this file is a lower bound of now.
    now = max(datetime.now(UTC), datetime.fromtimestamp(Path(__file__).stat().st_mtime, UTC))
    return time.year >= _FIRST_YEAR and time <= now + timedelta(days=1)
