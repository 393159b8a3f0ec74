"""Placement of images on the grid of a scene."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from pyproj import CRS, Transformer
from pyproj.exceptions import ProjError

from floodseg.errors import DataError
from floodseg.geo.grid import GeoGrid
from floodseg.geo.warp import PixelMap, same_crs

_IDENTITY = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)

_PIXEL_LIMIT = 40_000_000_000
"""200,000 pixels a side. A header that claims more is damaged, or the scene is to be mapped in parts."""


def check_reference(name: str, grid: GeoGrid) -> None:
    """Raise DataError where products cannot have this grid: rotated, or of a size that no scene has."""
    _, b, _, d, _, _ = grid.transform
    if b != 0 or d != 0:
        raise DataError(
            f"{name}: its grid is rotated or sheared; the products' grid must run along the axes of its coordinate "
            "system: gdalwarp it first, or let the other sensor give the grid (`grid`)"
        )
    if grid.height * grid.width > _PIXEL_LIMIT:
        raise DataError(
            f"{name}: claims {grid.height}x{grid.width} pixels; at most {_PIXEL_LIMIT:,} are mapped at once: give an "
            "area with `aoi`, or check the file"
        )


def place_on_grid(name: str, grid: GeoGrid, reference_name: str, reference: GeoGrid) -> tuple[GeoGrid, str | None]:
    """Return where an image lies beside a reference, and what had to be assumed for it.

    An image without a coordinate system, or beside one without, lies on the other's grid where their sizes agree.

    Raises:
        DataError: the sizes do not agree, the images do not overlap, or their systems cannot be related.
    """
    if grid.crs is None or reference.crs is None:
        return _place_by_size(name, grid, reference_name, reference)
    try:
        forth, back = PixelMap(reference, grid), PixelMap(grid, reference)
    except ProjError as error:
        raise DataError(
            f"{name} and {reference_name}: their coordinate systems cannot be related ({error}); both must be map "
            "systems: reproject one to the other"
        ) from error
    if not (_overlaps(forth, reference, grid) and _overlaps(back, grid, reference)):
        raise DataError(
            f"{reference_name} covers {describe_extent(reference)} and {name} covers {describe_extent(grid)}: they do "
            "not overlap; give images of one place"
        )
    return grid, None


def describe_extent(grid: GeoGrid) -> str:
    """Return the extent of a grid in words, in degrees where it has a coordinate system."""
    x, y = grid.coordinates(*_border(grid))
    if grid.crs is None:
        return f"x {x.min():g} to {x.max():g}, y {y.min():g} to {y.max():g}"
    lon, lat = Transformer.from_crs(grid.crs, "OGC:CRS84", always_xy=True).transform(x, y)
    known = np.isfinite(lon) & np.isfinite(lat)
    if not known.any():
        return f"no place on Earth in {CRS.from_user_input(grid.crs).name}"
    lon, lat = lon[known], lat[known]
    if lon.max() - lon.min() > 180:
        lon = lon % 360
    return f"longitude {lon.min():.3f} to {lon.max():.3f}, latitude {lat.min():.3f} to {lat.max():.3f}"


def resampling_note(name: str, how: Sequence[str | None]) -> str | None:
    """Return the sentence that says how an image came onto the grid, None where its pixels are taken as they are."""
    words = sorted({word for word in how if word is not None})
    return f"{name}: is resampled to the grid of the products ({'; '.join(words)})" if words else None


def _place_by_size(name: str, grid: GeoGrid, reference_name: str, reference: GeoGrid) -> tuple[GeoGrid, str | None]:
    sizes = f"{grid.height}x{grid.width} and {reference.height}x{reference.width}"
    without = name if grid.crs is None else reference_name
    if (grid.height, grid.width) != (reference.height, reference.width):
        raise DataError(
            f"{name} and {reference_name}: {without} has no coordinate system and their sizes differ ({sizes} pixels); "
            "without one, images must have one size: write the coordinate system into the file (gdal_edit -a_srs)"
        )
    placed = grid.transform != _IDENTITY and reference.transform != _IDENTITY
    if placed and same_crs(grid.crs, reference.crs) and not grid.matches(reference, 0.5):
        raise DataError(
            f"{name} and {reference_name}: have no coordinate system, and their geotransforms place them apart: write "
            "the coordinate systems into the files (gdal_edit -a_srs)"
        )
    return reference, f"{name}: is taken to lie on the grid of {reference_name}, as {without} has no coordinate system"


def _overlaps(pixel_map: PixelMap, target: GeoGrid, source: GeoGrid) -> bool:
    """Tell whether the border of the target, seen on the source, spans a part of it."""
    u, v = pixel_map.points(*_border(target))
    known = np.isfinite(u)
    if not known.any():
        return False
    u, v = u[known], v[known]
    return bool(u.min() < source.width and u.max() > 0 and v.min() < source.height and v.max() > 0)


def _border(grid: GeoGrid) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return points (columns, rows) along the border of a grid."""
    steps = np.linspace(0.0, 1.0, 33)
    zeros, ones = np.zeros_like(steps), np.ones_like(steps)
    columns = np.concatenate([steps, steps, zeros, ones]) * grid.width
    rows = np.concatenate([zeros, ones, steps, steps]) * grid.height
    return columns, rows
