"""``quicklook.png``: the map as a picture that a person can read."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import time as clock
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray
from PIL import Image

from floodseg.geo.footprints import GroundPixel, centre_pixel
from floodseg.geo.grid import GeoGrid
from floodseg.products.cog import COLOURS
from floodseg.products.info import ProductInfo
from floodseg.products.strips import CLASS_NAMES, EXCLUDED, FLOOD, LAND, NODATA, PERMANENT_WATER

LONGEST_SIDE = 1600
_SHORTEST_SIDE = 24
_LEAST_LONG_SIDE = 640
_LEAST_WIDTH = 760
_MARGIN, _HEAD, _FOOT = 24, 92, 84
_DPI = 100
_LONGEST_BAR = 200
_COVER = {FLOOD: 0.8, PERMANENT_WATER: 0.85}
"""How much of the picture below water hides."""
_STRIPE_COLOURS = np.array([[0.55, 0.55, 0.55], [0.78, 0.78, 0.78]])
_STRIPE_PERIOD = 10
_PAPER = 0.94
_FRAME = (80, 80, 80)
"""Grey of nodata."""

_Number = TypeVar("_Number", bound=np.generic)

Picture = NDArray[np.uint8]
"""(H, W, 3) RGB."""


@dataclass(frozen=True, slots=True)
class QuicklookText:
    """The words on the picture."""

    title: str
    lines: tuple[str, ...]
    """Below the title; one or two."""
    water_name: str
    """What code 1 means."""


def describe(info: ProductInfo, areas_km2: Mapping[str, float | None]) -> QuicklookText:
    """Return the words of a map: areas in square kilometres by name, None where unknown."""
    flood, permanent = areas_km2["flood"], areas_km2["permanent_water"]
    name = info.water_name.capitalize()
    title = name if flood is None else f"{name}: {_area(flood)}"
    date = "date unknown"
    if info.acquisition is not None:
        utc = info.acquisition.time
        title += f", {utc.day} {utc:%B %Y}"
        # midnight stands for a day of which no time is known
        date = f"{utc:%Y-%m-%d}" + (f" {utc:%H:%M} UTC" if utc.time() != clock.min else "")
    beside = "" if permanent is None else f"   permanent water: {_area(permanent)}"
    return QuicklookText(title, (date + beside, f"floodseg, model {Path(info.model).name}"), info.water_name)


def _area(km2: float) -> str:
    return f"{km2:,.0f} km²" if km2 >= 100 else f"{km2:.3g} km²"


def picture_shape(grid: GeoGrid) -> tuple[int, int]:
    """Return height and width of the map in the picture: pixels square on the ground, at most 1600 a side."""
    at = centre_pixel(grid)
    height, width = grid.height * (at.height if at else 1), grid.width * (at.width if at else 1)
    longest = min(max(grid.height, grid.width, _LEAST_LONG_SIDE), LONGEST_SIDE)
    scale = longest / max(height, width)
    return max(_SHORTEST_SIDE, round(height * scale)), max(_SHORTEST_SIDE, round(width * scale))


def draw(
    path: Path, grid: GeoGrid, classes: NDArray[np.uint8], background: NDArray[np.floating] | None, text: QuicklookText
) -> None:
    """Draw the map over its background, with scale bar, legend and north arrow.

    Args:
        path: PNG to write.
        grid: of the whole scene, which the arrays show at any smaller size.
        classes: (h, w) codes of ``flood.tif``.
        background: (h, w) grey or (h, w, 3) RGB from 0 to 1, NaN where the image has nothing; None for none.
        text: what to write above.
    """
    height, width = picture_shape(grid)
    codes = _resized(classes, height, width)
    picture = composed(codes, None if background is None else _resized(background, height, width))
    full_width, full_height = max(width, _LEAST_WIDTH) + 2 * _MARGIN, height + _HEAD + _FOOT
    figure = Figure((full_width / _DPI, full_height / _DPI), dpi=_DPI, facecolor="white")
    canvas: Any = FigureCanvasAgg(figure)  # its methods have no types
    sheet = figure.add_axes((0, 0, 1, 1))
    sheet.axis("off")
    sheet.set(xlim=(0, full_width), ylim=(full_height, 0))
    _draw_head(sheet, text)
    shown = [code for code in np.unique(codes).tolist() if code != LAND or background is None]
    _draw_legend(sheet, _HEAD + height, shown, text.water_name)
    at = centre_pixel(grid)
    if at is not None:
        metres = at.width * grid.width / width
        _draw_scale(sheet, full_width, _HEAD + height, metres)
        _draw_north(sheet, full_width, _HEAD + height, at)
    pixels, (drawn_width, drawn_height) = canvas.print_to_buffer()
    page = Image.frombytes("RGBA", (drawn_width, drawn_height), pixels).convert("RGB")
    # pasted pixel for pixel: matplotlib would resample it, in ten times the memory
    left = (full_width - width) // 2
    page.paste(_FRAME, (left - 1, _HEAD - 1, left + width + 1, _HEAD + height + 1))
    page.paste(Image.fromarray(picture), (left, _HEAD))
    page.save(path, compress_level=3)


def composed(codes: NDArray[np.uint8], background: NDArray[np.floating] | None) -> Picture:
    """Lay the codes (H, W) over the background (H, W) or (H, W, 3)."""
    picture = np.empty((*codes.shape, 3), dtype=np.float32)
    if background is None:
        picture[:] = _colour(LAND)
    else:
        picture[:] = background[..., None] if background.ndim == 2 else background
        picture[np.isnan(picture).any(-1)] = _PAPER
        np.clip(picture, 0, 1, out=picture)
    for code, cover in _COVER.items():
        here = codes == code
        picture[here] = cover * _colour(code) + (1 - cover) * picture[here]
    rows, columns = np.arange(codes.shape[0])[:, None], np.arange(codes.shape[1])
    stripes = (rows + columns) // (_STRIPE_PERIOD // 2) % 2
    excluded = codes == EXCLUDED
    picture[excluded] = _STRIPE_COLOURS[stripes[excluded]]
    picture[codes == NODATA] = _PAPER
    return (picture * 255).round().astype(np.uint8)


def _colour(code: int) -> NDArray[np.float64]:
    return np.array(COLOURS[code][:3]) / 255


def _resized(values: NDArray[_Number], height: int, width: int) -> NDArray[_Number]:
    """Return the nearest pixels at another size."""
    rows = ((np.arange(height) + 0.5) * values.shape[0] / height).astype(int)
    columns = ((np.arange(width) + 0.5) * values.shape[1] / width).astype(int)
    return np.asarray(values[rows[:, None], columns])


def _draw_head(sheet: Axes, text: QuicklookText) -> None:
    sheet.text(_MARGIN, 34, text.title, fontsize=15, fontweight="bold", va="baseline", parse_math=False)
    for number, line in enumerate(text.lines):
        sheet.text(_MARGIN, 56 + 20 * number, line, fontsize=10, color="0.25", va="baseline", parse_math=False)


def _draw_legend(sheet: Axes, top: float, present: list[int], water_name: str) -> None:
    x, y = float(_MARGIN), top + 22
    for code in (FLOOD, PERMANENT_WATER, EXCLUDED, LAND, NODATA):
        if code not in present:
            continue
        hatch = "////" if code == EXCLUDED else None
        face = [_PAPER] * 3 if code == NODATA else _STRIPE_COLOURS[1] if code == EXCLUDED else _colour(code)
        edge = _STRIPE_COLOURS[0] if code == EXCLUDED else "0.4"
        sheet.add_patch(Rectangle((x, y), 22, 14, facecolor=face, edgecolor=edge, hatch=hatch, linewidth=0.8))
        name = water_name if code == FLOOD else CLASS_NAMES[code]
        label = sheet.text(x + 29, y + 7, name, fontsize=10, va="center_baseline")
        x += 29 + label.get_window_extent().width + 24


def _draw_scale(sheet: Axes, right: float, top: float, metres: float) -> None:
    """Draw a bar of a round length; ``metres`` are those of a pixel of the picture."""
    length = round_length(_LONGEST_BAR * metres)
    end, y = right - _MARGIN - 56, top + 36
    begin = end - length / metres
    sheet.plot([begin, begin, end, end], [y - 6, y, y, y - 6], color="0.15", linewidth=1.6, solid_capstyle="butt")
    label = f"{length / 1000:g} km" if length >= 1000 else f"{length:g} m"
    sheet.text((begin + end) / 2, y + 5, label, fontsize=10, ha="center", va="top")


def round_length(longest: float) -> float:
    """Return the largest of 1, 2 and 5 times a power of ten that is at most ``longest``."""
    power = 10.0 ** math.floor(math.log10(longest))
    return max(step * power for step in (1, 2, 5) if step * power <= longest * (1 + 1e-9))


def _draw_north(sheet: Axes, right: float, top: float, at: GroundPixel) -> None:
    x, y, reach = right - _MARGIN - 18, top + 42, 19
    east, down = at.north
    style = {
        "arrowstyle": "-|>,head_width=0.3,head_length=0.6",
        "color": "0.15",
        "linewidth": 1.4,
        "shrinkA": 0,
        "shrinkB": 0,
    }
    sheet.annotate("", (x + reach * east, y + reach * down), (x - reach * east, y - reach * down), arrowprops=style)
    sheet.text(
        x + (reach + 9) * east, y + (reach + 9) * down, "N", fontsize=10, fontweight="bold", ha="center", va="center"
    )
