"""Grids of files, and placement of images on the grid of a scene."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from pyproj import CRS, Transformer
from pyproj.exceptions import ProjError

from floodseg.errors import DataError
from floodseg.geo.grid import GeoGrid
from floodseg.geo.warp import PixelMap, same_crs
from floodseg.scene.session import OpenRaster

_PIXEL_LIMIT = 40_000_000_000
"""Largest scene: 200,000 x 200,000 pixels. A header that claims more is damaged, or the scene must be mapped in
parts."""

ASSIGN_CORNERS = "gdal_translate -a_ullr ULX ULY LRX LRY IN OUT"
_ASSIGN_CRS = "rio edit-info --crs EPSG:CODE FILE"


def file_grid(name: str, handle: OpenRaster) -> GeoGrid:
    """Return the grid of a raster; without a georeference the CRS is None and the transform the identity.

    Raises:
        DataError: the raster is in sensor geometry, has a coordinate system but no geotransform, or has pixels without
            area.
    """
    crs = handle.crs.to_string() if handle.crs is not None else None
    a, b, c, d, e, f = (float(number) for number in tuple(handle.transform)[:6])
    grid = GeoGrid(crs, (a, b, c, d, e, f), handle.height, handle.width).without_rounding_rotation
    if grid.has_pixel_coordinates and (handle.gcps[0] or handle.rpcs is not None):
        raise DataError(
            f"{name}: is in sensor geometry, with ground control points or a camera model, but a scene must lie on a "
            "map grid; correct it for terrain, or warp it (gdalwarp -t_srs EPSG:CODE IN OUT)"
        )
    if grid.has_pixel_coordinates and crs is not None:
        raise DataError(
            f"{name}: has a coordinate system but no geotransform, or one that gives pixel numbers instead "
            "of coordinates, so its pixels have no place and no size; assign the x and y of its upper left "
            f"and lower right corner ({ASSIGN_CORNERS})"
        )
    if not grid.has_distinct_pixels:
        raise DataError(
            f"{name}: its geotransform {grid.transform} defines pixels without area or with equal coordinates; correct "
            "the file"
        )
    return grid


def missing_crs_remedy(grid: GeoGrid) -> str:
    """Return a command that gives a file without a coordinate system its place; ``grid`` is the grid of the file."""
    return ASSIGN_CORNERS.replace("-a_ullr", "-a_srs EPSG:CODE -a_ullr") if grid.has_pixel_coordinates else _ASSIGN_CRS


def check_reference(name: str, grid: GeoGrid) -> None:
    """Raise DataError if products cannot have this grid: it is rotated or too large."""
    _, b, _, d, _, _ = grid.transform
    if b != 0 or d != 0:
        raise DataError(
            f"{name}: its grid is rotated or sheared, but the products' grid must run along the axes of its coordinate "
            "system; warp it (gdalwarp IN OUT)"
        )
    if grid.height * grid.width > _PIXEL_LIMIT:
        raise DataError(
            f"{name}: has {grid.height}x{grid.width} pixels, but at most {_PIXEL_LIMIT:,} are mapped at once; set "
            "an area with `aoi`, or check the file"
        )


def place_on_grid(name: str, grid: GeoGrid, reference_name: str, reference: GeoGrid) -> tuple[GeoGrid, str | None]:
    """Return the grid of an image beside a reference, and the assumption made or None.

    If the image or the reference has no coordinate system, the image takes the reference grid; their sizes must agree.

    Raises:
        DataError: the sizes differ, the images do not overlap, or their coordinate systems cannot be related.
    """
    if grid.crs is None or reference.crs is None:
        return _place_by_size(name, grid, reference_name, reference)
    try:
        to_image, to_reference = PixelMap(reference, grid), PixelMap(grid, reference)
    except ProjError as error:
        raise DataError(
            f"{name} and {reference_name}: their coordinate systems cannot be related ({error}); reproject one to the "
            "other"
        ) from error
    if not (_overlaps(to_image, reference, grid) and _overlaps(to_reference, grid, reference)):
        raise DataError(
            f"{reference_name} covers {describe_extent(reference)} and {name} covers {describe_extent(grid)}, so they "
            "do not overlap; use images of one place"
        )
    return grid, None


def describe_extent(grid: GeoGrid) -> str:
    """Describe the extent of a grid in degrees, or in its own coordinates if it has no coordinate system."""
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


def resampling_note(name: str, resamplings: Sequence[str | None]) -> str | None:
    """Describe the resampling of an image to the grid, or return None if its pixels are used unchanged."""
    names = sorted({resampling for resampling in resamplings if resampling is not None})
    return f"{name}: is resampled to the grid of the products ({'; '.join(names)})" if names else None


def _place_by_size(name: str, grid: GeoGrid, reference_name: str, reference: GeoGrid) -> tuple[GeoGrid, str | None]:
    unplaced, unplaced_grid = (name, grid) if grid.crs is None else (reference_name, reference)
    if (grid.height, grid.width) != (reference.height, reference.width):
        raise DataError(
            f"{name} and {reference_name}: {unplaced} has no coordinate system, so both must have the same size, but "
            f"they have {grid.height}x{grid.width} and {reference.height}x{reference.width} pixels; assign the "
            f"coordinate system ({missing_crs_remedy(unplaced_grid)})"
        )
    placed = not (grid.has_pixel_coordinates or reference.has_pixel_coordinates)
    if placed and same_crs(grid.crs, reference.crs) and not grid.north_up.matches(reference.north_up, 0.5):
        raise DataError(
            f"{name} and {reference_name}: have no coordinate system, and their geotransforms differ; assign the "
            f"coordinate systems ({_ASSIGN_CRS})"
        )
    if placed and grid.flips != reference.flips:
        rows, columns = (one != other for one, other in zip(grid.flips, reference.flips, strict=True))
        reference = reference.reversed(rows=rows, columns=columns)
    return reference, f"{name}: is taken to lie on the grid of {reference_name}, as {unplaced} has no coordinate system"


def _overlaps(pixel_map: PixelMap, target: GeoGrid, source: GeoGrid) -> bool:
    """Return True if the border of the target, in pixels of the source, spans a part of the source."""
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
