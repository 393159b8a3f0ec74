"""Dated maps: file, grid, acquisition time and orbit of each map of a series."""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from floodseg.analysis.series.map_list import ListedMap
from floodseg.config.predict import SceneConfig
from floodseg.errors import ConfigError, DataError
from floodseg.geo.grid import GeoGrid
from floodseg.products.class_map import open_class_map
from floodseg.products.folder import ITEM
from floodseg.scene.acquisition import Acquisition, acquisition_of

OPTICAL = "optical"
"""Name in place of an orbit for maps of an optical image alone, which sees water from above in every orbit."""
UNKNOWN = "unknown"
"""Name of the orbit of maps that do not say theirs."""

_INPUTS = "FLOODSEG_INPUTS"
"""Tag of flood.tif: its input files by setting, as JSON."""
_DIRECTIONS = ("ascending", "descending")


@dataclass(frozen=True, slots=True)
class DatedMap:
    """A map of classes with its date."""

    path: str
    grid: GeoGrid
    acquired: Acquisition
    orbit: str
    """Direction and relative orbit of the radar image (``descending-95``), ``OPTICAL``, or ``UNKNOWN``."""
    state: tuple[int, int]
    """Bytes of the file, and time of its last change in nanoseconds."""


def read_dated_map(listed: ListedMap) -> DatedMap:
    """Read grid, acquisition time and orbit of a map.

    The time is that of the list, of ``item.json`` beside the map, of its tags, of its name, or of the name of its
    folder, in this order. The orbit is that of the list or of ``item.json``.

    Raises:
        DataError: the map cannot be read, or has no date.
        ConfigError: the time in the list is not ISO 8601.
    """
    path = listed.path
    with open_class_map(str(path)) as opened:
        grid, tags = opened.grid, opened.tags
    properties = _item_properties(path)
    acquired = _acquired(listed, properties)
    orbit = listed.orbit or _orbit(properties, tags)
    return DatedMap(str(path), grid.north_up, acquired, orbit, file_state(path))


def file_state(path: Path) -> tuple[int, int]:
    """Return the bytes of a file, and the time of its last change in nanoseconds.

    Raises:
        DataError: there is no such file.
    """
    try:
        status = path.stat()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); give a map on this machine") from error
    return status.st_size, status.st_mtime_ns


def _item_properties(path: Path) -> dict[str, Any]:
    """Return the properties of the STAC item beside a map; empty if there is none, or it describes other files.

    Raises:
        DataError: the item cannot be read.
    """
    item = path.with_name(ITEM)
    if not item.is_file():
        return {}
    try:
        document = json.loads(item.read_text(encoding="utf-8"))
        names = [Path(str(asset["href"])).name for asset in document["assets"].values()]
        properties: dict[str, Any] = document["properties"]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f"{item}: cannot be read as a STAC item ({error!r}); map the scene again, or remove the file"
        ) from error
    return properties if path.name in names else {}


def _acquired(listed: ListedMap, properties: dict[str, Any]) -> Acquisition:
    path = listed.path
    in_item = properties.get("datetime") or properties.get("start_datetime")
    for text, source in ((listed.datetime, listed.source), (in_item, f"{path.with_name(ITEM)}")):
        if text is not None:
            return _parsed(path, str(text), source)
    found = acquisition_of(SceneConfig(sar=(str(path),)))
    if found is None:
        found = acquisition_of(SceneConfig(sar=(path.absolute().parent.name,)))
        found = found and replace(found, source=f"name of the folder {path.absolute().parent.name}")
    if found is None:
        raise DataError(
            f"{path}: has no date in item.json, its tags or its name; write it into the file (rio edit-info --tag "
            '"TIFFTAG_DATETIME=2024:01:31 05:43:21" FILE), or give a CSV list with the columns map and datetime'
        )
    return found


def _parsed(path: Path, text: str, source: str) -> Acquisition:
    try:
        found = acquisition_of(SceneConfig(sar=(str(path),), datetime=text))
    except ConfigError as error:
        raise DataError(
            f"{path}: the time '{text}' of the {source} is not ISO 8601; write a time such as 2020-01-31T05:43:21Z"
        ) from error
    assert found is not None, "a text that is set gives a time or an error"
    return replace(found, source=source)


def _orbit(properties: dict[str, Any], tags: dict[str, str]) -> str:
    """Return the name of the orbit from the item of a map and the tags of its file."""
    if _is_optical(tags):
        return OPTICAL
    direction, number = properties.get("sat:orbit_state"), properties.get("sat:relative_orbit")
    parts = [str(direction).lower()] if direction in _DIRECTIONS else []
    parts += [str(number)] if number is not None else []
    return "-".join(parts) or UNKNOWN


def _is_optical(tags: dict[str, str]) -> bool:
    """Return True if floodseg mapped an optical image without a radar image."""
    try:
        inputs = json.loads(tags.get(_INPUTS, "{}"))
    except ValueError:
        return False
    return isinstance(inputs, dict) and "optical" in inputs and "sar" not in inputs
