"""Common grid of the arrays of a scene."""

from collections.abc import Mapping, Sequence
from typing import Any

from floodseg.errors import DataError
from floodseg.geo.grid import IDENTITY, GeoGrid, Transform
from floodseg.geo.warp import same_crs
from floodseg.scene.array_coordinates import crs_text
from floodseg.scene.labelled_array import ArrayImage


def common_grid(arrays: Mapping[str, ArrayImage], crs: Any, transform: Sequence[float] | None) -> GeoGrid:
    """Return the grid of the first array as it is stored.

    Args:
        arrays: arrays by name.
        crs: coordinate system as EPSG code, WKT or object; by default that of an array.
        transform: transform of the pixels as they are stored; by default that of an array.

    Raises:
        DataError: the arrays lie on different grids, or products cannot have the grid.
    """
    first_name, first = next(iter(arrays.items()))
    for name, other in arrays.items():
        if other.shape[1:] != first.shape[1:]:
            raise DataError(
                f"{first_name} has {first.shape[1]}x{first.shape[2]} pixels and {name} {other.shape[1]}x"
                f"{other.shape[2]}, but arrays must lie on one grid; resample one to the other, or use files"
            )
        if first.transform is None or other.transform is None:
            continue
        # ``transform`` describes the pixels as they are stored
        one, two = (each.grid if transform is not None else each.grid.north_up for each in (first, other))
        if not (same_crs(one.crs, two.crs) and one.matches(two, 0.5)):
            raise DataError(
                f"{first_name} and {name}: their coordinates differ, but arrays must lie on one grid; "
                "resample one to the other, or use files"
            )
    known_crs = next((each.crs for each in arrays.values() if each.crs is not None), None)
    known = next((each.transform for each in arrays.values() if each.transform is not None), None)
    if transform is not None:
        a, b, c, d, e, f = (float(number) for number in tuple(transform)[:6])
        known = (a, b, c, d, e, f)
    text = known_crs if crs is None else crs_text("crs", crs)
    grid = GeoGrid(text, known or IDENTITY, first.shape[1], first.shape[2]).without_rounding_rotation
    _check_grid(grid, known)
    if transform is not None and not grid.has_pixel_coordinates:
        for name, image in arrays.items():
            _check_transform(grid, name, image)
    return grid


def _check_transform(grid: GeoGrid, name: str, image: ArrayImage) -> None:
    """Raise DataError if an array has coordinates that are not those of a grid that was set."""
    if image.transform is not None and not (image.grid.has_pixel_coordinates or grid.matches(image.grid, 0.5)):
        raise DataError(
            f"`transform={grid.transform}`: differs from the transform {image.grid.transform} that the "
            f"coordinates of `{name}` give; leave `transform` out, or pass `{name}` without coordinates (.values)"
        )


def _check_grid(grid: GeoGrid, transform: Transform | None) -> None:
    """Raise DataError if products cannot have a grid; ``transform`` is that of the arrays, None if they have none."""
    a, b, _, d, e, _ = grid.transform
    if grid.crs is not None and grid.has_pixel_coordinates:
        raise DataError(
            f"`crs={grid.crs}`: has no effect without a transform that gives the pixels a place and a size; set "
            "`transform`, (10, 0, LEFT, 0, -10, TOP) for pixels of 10 m"
        )
    if transform is not None and (b != 0 or d != 0 or a == 0 or e == 0):
        raise DataError(
            f"`transform={transform}`: is rotated, sheared or without area; resample the arrays to a grid along "
            "the axes"
        )
    if not grid.has_distinct_pixels:
        raise DataError(f"`transform={transform}`: defines pixels without area or with equal coordinates; correct it")
