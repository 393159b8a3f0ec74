"""When a scene was taken, as well as its files tell."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from logging import getLogger
from pathlib import Path, PurePosixPath

import rasterio
from rasterio.errors import RasterioError

from floodseg.config.predict import SceneConfig
from floodseg.errors import ConfigError
from floodseg.messages import redacted
from floodseg.raster.access import check_local, file_on_disk, gdal_settings
from floodseg.raster.drivers import PRODUCT_DRIVERS, open_plain

_LOG = getLogger("floodseg")

_TAGS: tuple[tuple[str | None, str], ...] = (
    (None, "TIFFTAG_DATETIME"),
    ("IMAGERY", "ACQUISITIONDATETIME"),
    (None, "ACQUISITION_START_TIME"),
    (None, "ACQUISITION_DATETIME"),
    (None, "ACQUISITION_DATE"),
    (None, "DATATAKE_1_DATATAKE_SENSING_START"),
    (None, "PRODUCT_START_TIME"),
)
"""Metadata domain and name: the TIFF tag, GDAL's own name for satellite imagery, its Sentinel-1 and -2 drivers'."""

_TIFF_TIME = re.compile(r"(\d{4}):(\d\d):(\d\d)[ T](\d\d:\d\d:\d\d)")
_SENSING_TIME = re.compile(r"(?<!\d)(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)(?!\d)")
_DAY = re.compile(r"(?<!\d)(\d{4})([-_]?)(\d\d)\2(\d\d)(?!\d|T\d)")
_PRODUCT = re.compile(r"S[123][A-D]_", re.IGNORECASE)
_FIRST_YEAR = 1972


def acquired(config: SceneConfig) -> tuple[datetime, str]:
    """Return when the scene was taken, in UTC, and how that is known.

    The first of these that tells: ``config.datetime``, the tags of the file whose grid the products have
    (TIFFTAG_DATETIME as "YYYY:MM:DD HH:MM:SS" or ISO 8601, then acquisition tags), its product's name
    (``S1A_IW_GRDH_1SDV_20200101T054321_...``) or a day in its own name, the time of the file; the last with a warning.
    A time without a zone is taken as UTC, a day as its midnight.

    Raises:
        ConfigError: ``config.datetime`` is not ISO 8601, or the file is an address without --allow-remote.
    """
    if config.datetime is not None:
        try:
            return _utc(datetime.fromisoformat(config.datetime.strip())), "--datetime"
        except (ValueError, OverflowError) as error:
            raise ConfigError(
                f"--datetime {config.datetime}: must be a time in ISO 8601, such as 2020-01-31T05:43:21Z"
            ) from error
    preferred = (config.sar, config.optical) if config.grid == "sar" else (config.optical, config.sar)
    files = preferred[0] or preferred[1]
    if not files:
        return _not_known("no file")
    path = files[0]
    check_local(path, "sar" if files is config.sar else "optical", config.allow_remote)
    return _from_tags(path, config.allow_remote) or _from_name(path) or _from_disk(path)


def _from_tags(path: str, allow_remote: bool) -> tuple[datetime, str] | None:
    try:
        with rasterio.Env(**gdal_settings(allow_remote)), open_plain(path, PRODUCT_DRIVERS) as source:
            tags: dict[str | None, Mapping[str, str]] = {domain: source.tags(ns=domain) for domain, _ in _TAGS}
    except (RasterioError, UnicodeDecodeError):
        # Whoever maps the scene opens the file too, and says what is wrong with it.
        return None
    for domain, name in _TAGS:
        text = tags[domain].get(name)
        time = _parsed(text) if text else None
        if time:
            return time, f"tag {name} of {path}"
    return None


def _parsed(text: str) -> datetime | None:
    """Return a time in TIFF's format or ISO 8601; None for what is neither, and for times that cannot be."""
    iso = _TIFF_TIME.sub(r"\1-\2-\3T\4", text.strip())
    try:
        time = _utc(datetime.fromisoformat(iso))
    except (ValueError, OverflowError):
        return None
    return time if _plausible(time) else None


def _from_name(path: str) -> tuple[datetime, str] | None:
    own, *folders = reversed(PurePosixPath(path.split("?", maxsplit=1)[0]).parts)
    for part in (own, *(folder for folder in folders if _PRODUCT.match(folder))):
        # The first is the start of sensing; later ones are its end and the time of processing.
        for time in _SENSING_TIME.findall(part):
            found = _parsed("{}-{}-{}T{}:{}:{}".format(*time))
            if found:
                return found, f"name {part}"
    for year, _, month, day in _DAY.findall(own):
        found = _parsed(f"{year}-{month}-{day}")
        if found:
            return found, f"day in the name {own}"
    return None


def _from_disk(path: str) -> tuple[datetime, str]:
    place = file_on_disk(path)
    if place is None or not place.is_file():
        return _not_known(path)
    try:
        time = datetime.fromtimestamp(place.stat().st_mtime, UTC)
    except (ValueError, OverflowError):
        return _not_known(path)
    if not _plausible(time):
        return _not_known(path)
    _LOG.warning(
        "%s: no tag and no name tells when it was taken, so the file's time %s is used; give --datetime",
        redacted(path),
        time.isoformat(timespec="seconds"),
    )
    return time, f"time of the file {place}"


def _not_known(path: str) -> tuple[datetime, str]:
    now = datetime.now(UTC)
    _LOG.warning(
        "%s: nothing tells when the scene was taken, so the present time is used; give --datetime", redacted(path)
    )
    return now, "time of mapping"


def _utc(time: datetime) -> datetime:
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)


def _plausible(time: datetime) -> bool:
    """Tell whether a satellite can have taken an image then; clocks may be a day apart."""
    # a clock that was set back (a dead battery) must not make true dates impossible: it is now at the least what it was
    # when this file was installed
    now = max(datetime.now(UTC), datetime.fromtimestamp(Path(__file__).stat().st_mtime, UTC))
    return time.year >= _FIRST_YEAR and time <= now + timedelta(days=1)
