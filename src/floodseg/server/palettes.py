"""Colours of layers: from values to RGBA pixels, and the legends."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from floodseg.products.cog import COLOURS
from floodseg.products.strips import EXCLUDED, FLOOD, LAND

Values = NDArray[np.float32]
Pixels = NDArray[np.uint8]
"""(H, W, 4) RGBA."""
Legend = list[dict[str, Any]]

_LEGEND_STOPS = 5
_HATCH_PERIOD, _HATCH_WIDTH = 8, 3
"""Pixels from one white stripe of excluded areas to the next, and across a stripe. Four colours with a contrast of 3:1
in pairs do not exist (27:1 exceeds the 21:1 of black and white), so one class has stripes."""
_BRIGHTNESS = 3.5
"""Factor from reflectance to display brightness, as in the quicklook."""


@dataclass(frozen=True, slots=True)
class ClassPalette:
    """Colours of the codes of ``flood.tif``."""

    names: dict[int, str]
    """Name of each code that the map holds."""

    def paint(self, values: Values) -> Pixels:
        """Return the RGBA pixels of codes, (1, H, W)."""
        table = np.zeros((256, 4), np.uint8)
        for code, colour in COLOURS.items():
            table[code] = colour
        codes = values[0].astype(np.uint8)
        pixels: Pixels = table[codes]
        rows, columns = np.indices(codes.shape, sparse=True)
        pixels[(codes == EXCLUDED) & ((rows + columns) % _HATCH_PERIOD < _HATCH_WIDTH)] = 255
        return pixels

    def legend(self) -> Legend:
        """Return the colour and the name of each class, and if it is hatched."""
        return [
            {"color": hex_colour(COLOURS[code]), "label": name, "hatch": code == EXCLUDED}
            for code, name in self.names.items()
        ]


@dataclass(frozen=True, slots=True)
class RampPalette:
    """Linear ramp between two colours over a range of values."""

    low: float
    high: float
    unit: str
    colours: tuple[Sequence[int], Sequence[int]] = ((0, 0, 0), (255, 255, 255))

    def paint(self, values: Values) -> Pixels:
        """Return the RGBA pixels of numbers, (1, H, W)."""
        share = np.clip((values[0] - self.low) / (self.high - self.low), 0, 1)[..., None]
        first, last = (np.array(colour[:3], np.float32) for colour in self.colours)
        opaque = np.full(values.shape[1:], 255, np.uint8)
        return np.dstack([np.rint(first + (last - first) * share).astype(np.uint8), opaque])

    def legend(self) -> Legend:
        """Return stops from the lowest to the highest value."""
        stops = np.linspace(self.low, self.high, _LEGEND_STOPS, dtype=np.float32)
        colours = self.paint(stops[None, None])[0]
        return [
            {"color": hex_colour(colour), "label": f"{stop:g} {self.unit}"}
            for colour, stop in zip(colours.tolist(), stops.tolist(), strict=True)
        ]


@dataclass(frozen=True, slots=True)
class StepPalette:
    """One colour for each range of values; values of 0 and below are transparent."""

    limits: tuple[float, ...]
    """Upper limits of all ranges but the last one."""
    colours: tuple[Sequence[int], ...]
    labels: tuple[str, ...]

    def paint(self, values: Values) -> Pixels:
        """Return the RGBA pixels of numbers, (1, H, W)."""
        table = np.array([(*colour, 255) for colour in self.colours], np.uint8)
        pixels: Pixels = table[np.searchsorted(self.limits, values[0])]
        pixels[values[0] <= 0] = 0
        return pixels

    def legend(self) -> Legend:
        """Return the colour and the label of each range."""
        return [{"color": hex_colour(c), "label": label} for c, label in zip(self.colours, self.labels, strict=True)]


@dataclass(frozen=True, slots=True)
class ColourPalette:
    """Red, green and blue from three bands of reflectance."""

    bands: tuple[str, str, str]

    def paint(self, values: Values) -> Pixels:
        """Return the RGBA pixels of reflectance, (3, H, W)."""
        colour = np.clip(values.transpose(1, 2, 0) * (255 * _BRIGHTNESS), 0, 255).astype(np.uint8)
        return np.dstack([colour, np.full(values.shape[1:], 255, np.uint8)])

    def legend(self) -> Legend:
        """Return the band of each channel."""
        channels = zip(("#ff0000", "#00ff00", "#0000ff"), self.bands, strict=True)
        return [{"color": colour, "label": band} for colour, band in channels]


Palette = ClassPalette | RampPalette | StepPalette | ColourPalette
"""Colours of one layer: ``paint`` returns the pixels of values, and ``legend`` the colours with labels."""

PROBABILITY = RampPalette(0, 100, "%", (COLOURS[LAND], COLOURS[FLOOD]))
"""Water probability, as in ``water_probability.qml``."""
RADAR = {"VV": RampPalette(-24, -2, "dB"), "VH": RampPalette(-32, -8, "dB")}
"""Backscatter on fixed scales, so that two dates can be compared."""


def hex_colour(colour: Sequence[int]) -> str:
    """Return a colour as ``#rrggbb``."""
    return "#" + bytes(colour[:3]).hex()
