"""How many metres of ground a pixel spans, anywhere on a grid, in whatever coordinate system."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pyproj import Transformer

from floodseg.geo.affine import to_coordinates
from floodseg.geo.grid import GeoGrid

Metres = NDArray[np.float64]

_NODES = 17
"""Points a side at which distances are computed; between them they change nearly in a straight line (over a scene of
3 degrees the cosine of latitude departs from it by 2e-6)."""
_WGS84_AXIS = 6_378_137.0
_WGS84_ECCENTRICITY_SQUARED = 0.006_694_379_990_14


@dataclass(frozen=True, slots=True)
class GroundSteps:
    """Metres east and north on the WGS 84 ellipsoid for a step of one pixel along columns and along rows.

    Distances on the map are not those on the ground: a degree of longitude shrinks towards the poles, Web Mercator
    doubles lengths at 60 degrees, some systems count feet. The steps are derivatives of longitude and latitude, turned
    into metres by the ellipsoid's radii of curvature, so all of these come out alike.
    """

    rows: Metres
    """(R,) row coordinates of the nodes."""
    columns: Metres
    """(C,) column coordinates of the nodes."""
    steps: Metres
    """(4, R, C): east per column, north per column, east per row, north per row."""

    @staticmethod
    def of(grid: GeoGrid) -> "GroundSteps":
        """Compute the steps over ``grid``, which has a coordinate system."""
        rows, columns = np.linspace(0, grid.height, _NODES), np.linspace(0, grid.width, _NODES)
        at_columns, at_rows = np.meshgrid(columns, rows)
        transformer = Transformer.from_crs(grid.crs, "EPSG:4326", always_xy=True)

        def degrees(right: float, down: float) -> Metres:
            return np.array(transformer.transform(*to_coordinates(grid, at_columns + right, at_rows + down)))

        _, latitude = degrees(0, 0)
        per_column, per_row = degrees(0.5, 0) - degrees(-0.5, 0), degrees(0, 0.5) - degrees(0, -0.5)
        metres_east, metres_north = _metres_per_degree(latitude)
        steps = [
            metres * degrees_moved
            for east, north in (per_column, per_row)
            for metres, degrees_moved in ((metres_east, (east + 180) % 360 - 180), (metres_north, north))
        ]
        return GroundSteps(rows, columns, np.array(steps))

    def at(self, rows: Metres, columns: Metres) -> Metres:
        """Return the four steps at every crossing of row and column coordinates, (4, len(rows), len(columns))."""
        return np.asarray(_hats(rows, self.rows) @ self.steps @ _hats(columns, self.columns).T)


def _metres_per_degree(latitude: Metres) -> tuple[Metres, Metres]:
    """Return the length of a degree of longitude and of latitude on the WGS 84 ellipsoid, in metres."""
    angle = np.radians(latitude)
    curvature = 1 - _WGS84_ECCENTRICITY_SQUARED * np.sin(angle) ** 2
    across = _WGS84_AXIS / np.sqrt(curvature)
    along = _WGS84_AXIS * (1 - _WGS84_ECCENTRICITY_SQUARED) / curvature**1.5
    return np.radians(across * np.cos(angle)), np.radians(along)


def _hats(points: Metres, nodes: Metres) -> Metres:
    """Return the weights (P, N) with which evenly spaced nodes make values at points by linear interpolation."""
    spacing = nodes[1] - nodes[0]
    return np.asarray(np.clip(1 - np.abs(points[:, None] - nodes[None, :]) / spacing, 0, None))
