"""Elevation file: heights in metres on its own grid, and the pixels without one."""

import numpy as np

from floodseg.errors import DataError
from floodseg.geo.grid import GeoGrid, Window
from floodseg.geo.resampling import Block
from floodseg.scene.layers.layer_file import LayerFile

HEIGHT_RANGE = (-500.0, 9000.0)
"""Possible heights of land in metres. Values outside, such as -9999, are an undeclared nodata value."""

_VOIDS = (-9999, -32768, 32767)
"""Stored numbers that elevation models use for nodata, also where a scale tag makes them possible heights."""

_METRES = {
    **dict.fromkeys(("", "m", "metre", "metres", "meter", "meters"), 1.0),
    **dict.fromkeys(("ft", "foot", "feet", "international foot"), 0.3048),
    **dict.fromkeys(("us survey foot", "us-ft", "ftus", "foot_us", "us_survey_foot"), 1200 / 3937),
}
"""Metres per unit of height, by the lower-case name of the unit."""


class HeightFile:
    """An elevation model in metres or feet. Reading is safe from several threads.

    Attributes:
        file: the raster.

    Raises:
        ConfigError: a remote file without ``allow_remote``.
        DataError: the file cannot be read or placed on the scene, or declares another unit than metres or feet.
    """

    def __init__(self, path: str, scene: GeoGrid, *, allow_remote: bool = False) -> None:
        self.file = LayerFile(path, "dem", scene, allow_remote=allow_remote, voids=_VOIDS)
        if self.file.unit.lower() not in _METRES:
            raise DataError(
                f"`dem={path}`: is in '{self.file.unit}', but heights must be in metres or feet; convert it "
                f"({self.file.calculation('(* FACTOR (read 1))')}, with the metres per unit as FACTOR)"
            )
        self._metres = _METRES[self.file.unit.lower()]
        self._has_impossible_heights = False

    def notes(self) -> tuple[str, ...]:
        """Return notes on the unit, and on heights that are taken as no data, for the pixels read so far."""
        low, high = HEIGHT_RANGE
        has_voids = self._has_impossible_heights or self.file.found_voids
        notes = {
            f"its heights are in '{self.file.unit}' and are converted to metres": self._metres != 1,
            f"heights outside {low:g} to {high:g} m, such as -9999, are taken as no data": has_voids,
        }
        return tuple(f"{self.file.name}: {note}" for note, applies in notes.items() if applies)

    def read(self, window: Window) -> Block:
        """Read heights in metres inside a window of the file."""
        block = self.file.read(window)
        heights = block.values[0]
        if self._metres != 1:
            heights *= np.float32(self._metres)
        impossible = (heights <= HEIGHT_RANGE[0]) | (heights >= HEIGHT_RANGE[1])
        if impossible.any():
            self._has_impossible_heights = True
            heights[impossible] = 0
            block.missing[impossible] = True
        return block
