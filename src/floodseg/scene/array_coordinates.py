"""Coordinate system and transform of labelled (xarray) arrays."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from rasterio.crs import CRS
from rasterio.errors import CRSError

from floodseg.errors import DataError
from floodseg.geo.grid import Transform

_MAX_UNEVENNESS = 0.01
"""Largest deviation of coordinates from equal spacing, in pixels."""


def array_crs(argument: str, array: Any) -> str | None:
    """Return the coordinate system of a labelled array, None without one."""
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
            f"`{argument}`: its coordinate system {crs!r} is not known ({error}); use an authority code or WKT"
        ) from error


def _grid_mapping(array: Any) -> Mapping[str, Any]:
    """Return the attributes of the coordinate that describes the map grid, by the conventions of CF and rioxarray."""
    name = array.attrs.get("grid_mapping") or getattr(array, "encoding", {}).get("grid_mapping") or "spatial_ref"
    found: Mapping[str, Any] = array.coords[name].attrs if name in array.coords else {}
    return found


def array_transform(argument: str, array: Any) -> Transform | None:
    """Return the transform of a labelled array with the dimensions (bands, rows, columns), None without one.

    Raises:
        DataError: coordinates that are not evenly spaced.
    """
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
        remedy = "resample the array to a grid"
        if np.ptp(coordinates) > 180 and np.abs(coordinates).max() <= 180:
            remedy = f"across the 180th meridian, assign coordinates that go on beyond 180 ({argument}.{dim} % 360)"
        raise DataError(f"`{argument}`: the coordinates along {dim} are not evenly spaced; {remedy}")
    return float(step), float(coordinates[0] - step / 2)
