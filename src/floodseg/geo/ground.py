"""How a grid lies on the ground at its centre: metres of a pixel step, and where north is."""

import math
from dataclasses import dataclass

from pyproj import CRS, Transformer
from pyproj.exceptions import ProjError

from floodseg.geo.footprints import equal_area_crs
from floodseg.geo.grid import GeoGrid


@dataclass(frozen=True, slots=True)
class Ground:
    """The grid's centre seen from above."""

    across: float
    """Metres from a column to the next."""
    down: float
    """Metres from a row to the next."""
    north: tuple[float, float]
    """Unit vector of true north in a picture with square ground pixels: to the right, and downwards."""


def ground(grid: GeoGrid) -> Ground | None:
    """Measure at the centre of a grid; None where its coordinates have no place on the Earth."""
    if grid.crs is None:
        return None
    a, b, c, d, e, f = grid.transform
    row, column = grid.height / 2, grid.width / 2
    places = [(row, column), (row, column + 1), (row + 1, column)]
    try:
        # the projection is true to length and direction at its centre, x to the east and y to the north
        source = CRS.from_user_input(grid.crs).to_2d()
        projection = Transformer.from_crs(source, equal_area_crs(grid), always_xy=True)
        at = [projection.transform(a * x + b * y + c, d * x + e * y + f, errcheck=True) for y, x in places]
    except ProjError:
        return None
    (x0, y0), (x1, y1), (x2, y2) = at
    east_across, north_across, east_down, north_down = x1 - x0, y1 - y0, x2 - x0, y2 - y0
    across, down = math.hypot(east_across, north_across), math.hypot(east_down, north_down)
    turned = east_across * north_down - east_down * north_across
    if not (across and down and turned):
        return None
    right, low = -east_down / turned * across, east_across / turned * down
    length = math.hypot(right, low)
    return Ground(across, down, (right / length, low / length))
