"""Images in memory from numpy or labelled (xarray) arrays, with band names and coordinates.

Labelled arrays are recognised by their attributes, so xarray is not imported.
"""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from rasterio.crs import CRS
from rasterio.errors import CRSError

from floodseg.bands import Sensor
from floodseg.errors import DataError
from floodseg.geo.grid import Transform
from floodseg.raster.bands import name_identities

_ROW_DIMS = ("y", "lat", "latitude", "northing", "row")
_COLUMN_DIMS = ("x", "lon", "longitude", "easting", "column")
_MAX_UNEVENNESS = 0.01
"""Largest deviation of coordinates from equal spacing, in pixels."""


@dataclass(frozen=True, slots=True)
class ArrayImage:
    """An image in memory, (C, H, W). ``pixels`` may be lazy: only slices of it are loaded."""

    pixels: Any
    names: tuple[str | None, ...]
    """Identity of each band: a canonical name, ``MASK``, ``OTHER``, or None without a name."""
    labels: tuple[str | None, ...]
    """Names of the bands as they were given, None for bands without a name."""
    crs: str | None
    transform: Transform | None
    nodata: float | None

    @property
    def shape(self) -> tuple[int, int, int]:
        """Bands, rows, columns."""
        count, height, width = self.pixels.shape
        return count, height, width


def array_image(argument: str, array: Any, sensor: Sensor | None) -> ArrayImage:
    """Return an array as (C, H, W) with its band names, coordinates and nodata value.

    Args:
        argument: name of the array in messages.
        array: a numpy array (C, H, W) or (H, W), or a labelled array with dimensions named y and x (or lat and lon) in
            any order.
        sensor: sensor of the band names in the band coordinate or ``long_name``; None for a mask.

    Raises:
        DataError: other dimensions, or numbers that are not real.
    """
    labelled = hasattr(array, "dims") and hasattr(array, "coords")
    if labelled:
        array = _transposed(argument, array)
    elif not isinstance(getattr(array, "dtype", None), np.dtype):
        array = np.asarray(array)  # a list, or a tensor with its own dtypes
    if len(array.shape) == 2:
        array = array.expand_dims("band") if labelled else array[None]
    if len(array.shape) != 3:
        raise DataError(
            f"{argument}: the array has shape {tuple(array.shape)}; it must be (bands, rows, columns): reorder its axes"
        )
    if 0 in array.shape:
        raise DataError(f"{argument}: the array of shape {tuple(array.shape)} holds no pixel: pass an image")
    if not (np.issubdtype(array.dtype, np.floating) or np.issubdtype(array.dtype, np.integer) or array.dtype == bool):
        raise DataError(f"{argument}: the array has the type {array.dtype}; values must be real numbers: convert it")
    if not labelled:
        unnamed = (None,) * array.shape[0]
        return ArrayImage(array, unnamed, unnamed, None, None, None)
    fill = array.attrs.get("_FillValue")
    return ArrayImage(
        array,
        *_names(array, sensor),
        _crs(argument, array),
        _transform(argument, array),
        None if fill is None else float(fill),
    )


def _transposed(argument: str, array: Any) -> Any:
    dims: Sequence[Hashable] = array.dims
    rows = [dim for dim in dims if str(dim).lower() in _ROW_DIMS]
    columns = [dim for dim in dims if str(dim).lower() in _COLUMN_DIMS]
    rest = [dim for dim in dims if dim not in rows and dim not in columns]
    if len(rows) != 1 or len(columns) != 1 or len(rest) > 1:
        raise DataError(
            f"{argument}: the array has the dimensions {', '.join(map(str, dims))}; they must be bands, y and x: "
            "select one time, and rename the others"
        )
    return array.transpose(*rest, rows[0], columns[0])


def _names(array: Any, sensor: Sensor | None) -> tuple[tuple[str | None, ...], tuple[str | None, ...]]:
    """Return the identity of each band and its name, None without a name."""
    count: int = array.shape[0]
    labels: Sequence[object] = ()
    if array.dims[0] in array.coords:
        labels = list(np.atleast_1d(np.asarray(array.coords[array.dims[0]])))
    long_names = array.attrs.get("long_name")
    if not any(isinstance(name, str) for name in labels) and isinstance(long_names, (tuple, list)):
        labels = long_names
    if sensor is None or len(labels) != count:
        return (None,) * count, (None,) * count
    texts = tuple(label if isinstance(label, str) else None for label in labels)
    return name_identities(texts, sensor), texts


def _crs(argument: str, array: Any) -> str | None:
    reference = _grid_mapping(array)
    for crs in (reference.get("crs_wkt"), reference.get("spatial_ref"), array.attrs.get("crs")):
        if crs:
            return crs_text(argument, crs)
    return None


def crs_text(argument: str, crs: Any) -> str:
    """Return a coordinate system as text; ``crs`` is an EPSG number, text, or an object of pyproj or rasterio."""
    try:
        return str(CRS.from_user_input(crs).to_string())
    except CRSError as error:
        raise DataError(
            f"{argument}: its coordinate system {crs!r} is not known ({error}); use an authority code or WKT"
        ) from error


def _grid_mapping(array: Any) -> Mapping[str, Any]:
    """Return the attributes of the coordinate that describes the map grid, by the conventions of CF and rioxarray."""
    name = array.attrs.get("grid_mapping") or getattr(array, "encoding", {}).get("grid_mapping") or "spatial_ref"
    found: Mapping[str, Any] = array.coords[name].attrs if name in array.coords else {}
    return found


def _transform(argument: str, array: Any) -> Transform | None:
    _, rows, columns = array.dims
    if rows in array.coords and columns in array.coords:
        horizontal = _axis_step(argument, str(columns), np.asarray(array.coords[columns], dtype=np.float64))
        vertical = _axis_step(argument, str(rows), np.asarray(array.coords[rows], dtype=np.float64))
        if horizontal is not None and vertical is not None:
            return horizontal[0], 0.0, horizontal[1], 0.0, vertical[0], vertical[1]
    numbers = str(_grid_mapping(array).get("GeoTransform", "")).split()
    if len(numbers) != 6:
        return None
    c, a, b, f, d, e = map(float, numbers)
    return a, b, c, d, e, f


def _axis_step(argument: str, dim: str, coordinates: Any) -> tuple[float, float] | None:
    """Return the step and the outer edge of the first pixel along an axis of pixel centres; None for a single pixel."""
    if len(coordinates) < 2:
        return None
    step = (coordinates[-1] - coordinates[0]) / (len(coordinates) - 1)
    straight = coordinates[0] + step * np.arange(len(coordinates))
    if step == 0 or not np.abs(coordinates - straight).max() <= _MAX_UNEVENNESS * abs(step):
        raise DataError(f"{argument}: the coordinates along {dim} are not evenly spaced: resample the array to a grid")
    return float(step), float(coordinates[0] - step / 2)
