"""Arrays in memory with the band names and coordinates that labelled ones (xarray) carry.

Labelled arrays are known by their attributes, so that xarray is not needed to read what was made with it.
"""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from rasterio.crs import CRS
from rasterio.errors import CRSError

from floodseg.bands import Sensor, canonical_band
from floodseg.errors import DataError
from floodseg.geo.grid import Transform

_ROW_DIMS = ("y", "lat", "latitude", "northing", "row")
_COLUMN_DIMS = ("x", "lon", "longitude", "easting", "column")
_EVEN = 0.01
"""Pixels by which the steps between coordinates may differ."""


@dataclass(frozen=True, slots=True)
class ArrayImage:
    """An image in memory, (C, H, W). ``pixels`` may be lazy: only slices of it are turned into numbers."""

    pixels: Any
    names: tuple[str | None, ...]
    """Canonical band names, None where a band has none."""
    crs: str | None
    transform: Transform | None
    nodata: float | None

    @property
    def shape(self) -> tuple[int, int, int]:
        """Bands, rows, columns."""
        count, height, width = self.pixels.shape
        return count, height, width


def cube(flag: str, array: Any, sensor: Sensor | None) -> ArrayImage:
    """Return an array as (C, H, W) with what it says about itself.

    Args:
        flag: what to call it in messages.
        array: a numpy array (C, H, W) or (H, W), or a labelled array with dimensions named y and x (or lat and lon) in
            any order.
        sensor: whose band names its band coordinate or ``long_name`` may hold; None for a mask.

    Raises:
        DataError: dimensions that are not these, or numbers that are not real.
    """
    labelled = hasattr(array, "dims") and hasattr(array, "coords")
    if labelled:
        array = _in_order(flag, array)
    elif not isinstance(getattr(array, "dtype", None), np.dtype):
        array = np.asarray(array)  # a list, or a tensor with types of its own
    if len(array.shape) == 2:
        array = array.expand_dims("band") if labelled else array[None]
    if len(array.shape) != 3:
        raise DataError(
            f"{flag}: the array has shape {tuple(array.shape)}; it must be (bands, rows, columns): reorder its axes"
        )
    if 0 in array.shape:
        raise DataError(f"{flag}: the array of shape {tuple(array.shape)} holds no pixel: give an image")
    if not (np.issubdtype(array.dtype, np.floating) or np.issubdtype(array.dtype, np.integer) or array.dtype == bool):
        raise DataError(f"{flag}: the array holds {array.dtype}; values must be real numbers: convert it")
    if not labelled:
        return ArrayImage(array, (None,) * array.shape[0], None, None, None)
    fill = array.attrs.get("_FillValue")
    return ArrayImage(
        array,
        _names(array, sensor),
        _crs(flag, array),
        _transform(flag, array),
        None if fill is None else float(fill),
    )


def _in_order(flag: str, array: Any) -> Any:
    dims: Sequence[Hashable] = array.dims
    rows = [dim for dim in dims if str(dim).lower() in _ROW_DIMS]
    columns = [dim for dim in dims if str(dim).lower() in _COLUMN_DIMS]
    rest = [dim for dim in dims if dim not in rows and dim not in columns]
    if len(rows) != 1 or len(columns) != 1 or len(rest) > 1:
        raise DataError(
            f"{flag}: the array has the dimensions {', '.join(map(str, dims))}; they must be one of bands, y and x: "
            "select one time, and rename the others"
        )
    return array.transpose(*rest, rows[0], columns[0])


def _names(array: Any, sensor: Sensor | None) -> tuple[str | None, ...]:
    count: int = array.shape[0]
    said: Sequence[object] = ()
    if array.dims[0] in array.coords:
        said = list(np.atleast_1d(np.asarray(array.coords[array.dims[0]])))
    long_names = array.attrs.get("long_name")
    if not any(isinstance(name, str) for name in said) and isinstance(long_names, (tuple, list)):
        said = long_names
    if sensor is None or len(said) != count:
        return (None,) * count
    return tuple(canonical_band(name, sensor) if isinstance(name, str) else None for name in said)


def _crs(flag: str, array: Any) -> str | None:
    reference = _reference(array)
    for said in (reference.get("crs_wkt"), reference.get("spatial_ref"), array.attrs.get("crs")):
        if said:
            return crs_text(flag, said)
    return None


def crs_text(flag: str, crs: Any) -> str:
    """Return a coordinate system as text: of an EPSG number, text, or an object of pyproj or rasterio."""
    try:
        return str(CRS.from_user_input(crs).to_string())
    except CRSError as error:
        raise DataError(
            f"{flag}: its coordinate system {crs!r} is not known ({error}); give an authority code or WKT"
        ) from error


def _reference(array: Any) -> Mapping[str, Any]:
    """Return the attributes of the coordinate that describes the map grid, in the CF convention and rioxarray's."""
    name = array.attrs.get("grid_mapping") or getattr(array, "encoding", {}).get("grid_mapping") or "spatial_ref"
    found: Mapping[str, Any] = array.coords[name].attrs if name in array.coords else {}
    return found


def _transform(flag: str, array: Any) -> Transform | None:
    _, rows, columns = array.dims
    if rows in array.coords and columns in array.coords:
        along = _even(flag, str(columns), np.asarray(array.coords[columns], dtype=np.float64))
        down = _even(flag, str(rows), np.asarray(array.coords[rows], dtype=np.float64))
        if along is not None and down is not None:
            return along[0], 0.0, along[1], 0.0, down[0], down[1]
    said = str(_reference(array).get("GeoTransform", "")).split()
    if len(said) != 6:
        return None
    c, a, b, f, d, e = map(float, said)
    return a, b, c, d, e, f


def _even(flag: str, dim: str, coordinates: Any) -> tuple[float, float] | None:
    """Return step and outer edge of the first pixel along an axis of pixel centres; None for a lone pixel."""
    if len(coordinates) < 2:
        return None
    step = (coordinates[-1] - coordinates[0]) / (len(coordinates) - 1)
    straight = coordinates[0] + step * np.arange(len(coordinates))
    if step == 0 or not np.abs(coordinates - straight).max() <= _EVEN * abs(step):
        raise DataError(f"{flag}: the coordinates along {dim} are not evenly spaced: resample the array to a grid")
    return float(step), float(coordinates[0] - step / 2)
