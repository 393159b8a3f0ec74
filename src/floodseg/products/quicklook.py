"""``quicklook.png``: picture of the map with title, degrees at its frame, legend, scale bar and north arrow."""

import math
from collections.abc import Mapping, Sequence
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
from floodseg.products.ticks import frame_ticks

LONGEST_SIDE = 1600
_MIN_SIDE = 24
_MIN_LONG_SIDE = 640
_MIN_WIDTH = 760
_MARGIN, _HEAD, _DEGREES, _FOOT = 24, 104, 12, 84
"""Pixels beside the map, above it, and below it: degrees at the frame, then legend, scale bar and north arrow."""
_DPI = 100
_MAX_BAR = 200
_OPACITY = {FLOOD: 0.8, PERMANENT_WATER: 0.85}
"""Opacity of water over the background."""
_STRIPE_COLOURS = np.array([[0.55, 0.55, 0.55], [0.78, 0.78, 0.78]])
_STRIPE_PERIOD = 10
_BLANK_GREY = 0.94
_FRAME_COLOUR = (80, 80, 80)
"""RGB of the line around the map and of the ticks at it."""
_TICK = 5
"""Length of a tick in pixels."""

_Number = TypeVar("_Number", bound=np.generic)

Picture = NDArray[np.uint8]
"""(H, W, 3) RGB."""


@dataclass(frozen=True, slots=True)
class QuicklookText:
    """Text of the quicklook."""

    title: str
    lines: tuple[str, ...]
    """One or two lines below the title."""
    water_name: str
    """Name of code 1."""


@dataclass(frozen=True, slots=True)
class LegendEntry:
    """Box and label of the legend."""

    label: str
    face: Any
    """Matplotlib colour of the box."""
    edge: Any = "0.4"
    hatch: str | None = None


def describe(info: ProductInfo, areas_km2: Mapping[str, float | None]) -> QuicklookText:
    """Return the text of the quicklook; ``areas_km2`` are areas by class in square kilometres, None if unknown."""
    flood, permanent = areas_km2["flood"], areas_km2["permanent_water"]
    name = info.water_name.capitalize()
    title = name if flood is None else f"{name}: {_area(flood)}"
    date = "date unknown"
    if info.acquisition is not None:
        utc = info.acquisition.time
        title += f", {utc.day} {utc:%B %Y}"
        # midnight means that only the day is known
        date = f"{utc:%Y-%m-%d}" + (f" {utc:%H:%M} UTC" if utc.time() != clock.min else "")
    permanent_text = "" if permanent is None else f"   permanent water: {_area(permanent)}"
    return QuicklookText(title, (date + permanent_text, f"floodseg, model {Path(info.model).name}"), info.water_name)


def _area(km2: float) -> str:
    return f"{km2:,.0f} km²" if km2 >= 100 else f"{km2:.3g} km²"


def picture_shape(grid: GeoGrid) -> tuple[int, int]:
    """Return height and width of the map in the picture: square pixels on the ground, at most 1600 per side."""
    at = centre_pixel(grid)
    height, width = grid.height * (at.height if at else 1), grid.width * (at.width if at else 1)
    longest = min(max(grid.height, grid.width, _MIN_LONG_SIDE), LONGEST_SIDE)
    scale = longest / max(height, width)
    return max(_MIN_SIDE, round(height * scale)), max(_MIN_SIDE, round(width * scale))


def draw(
    path: Path, grid: GeoGrid, classes: NDArray[np.uint8], background: NDArray[np.floating] | None, text: QuicklookText
) -> None:
    """Draw the map over its background, with scale bar, legend and north arrow.

    Args:
        path: PNG file.
        grid: pixel grid of the scene.
        classes: (h, w) codes of ``flood.tif``, at any smaller size than the grid.
        background: (h, w) grey or (h, w, 3) RGB, 0 to 1, NaN where invalid, at any size; None for no background.
        text: title and lines.
    """
    height, width = picture_shape(grid)
    codes = resized(classes, height, width)
    picture = compose(codes, None if background is None else resized(background, height, width))
    shown = [code for code in np.unique(codes).tolist() if code != LAND or background is None]
    draw_page(path, grid, picture, (text.title, *text.lines), _class_entries(shown, text.water_name))


def draw_page(path: Path, grid: GeoGrid, picture: Picture, text: Sequence[str], legend: Sequence[LegendEntry]) -> None:
    """Draw a picture of a grid with text above, degrees at its frame, and legend, scale bar and north arrow below.

    Args:
        path: PNG file.
        grid: pixel grid of the picture's extent.
        picture: RGB of the shape ``picture_shape(grid)``.
        text: title and one or two lines.
        legend: entries of the legend.
    """
    height, width = picture.shape[:2]
    full_width, full_height = max(width, _MIN_WIDTH) + 2 * _MARGIN, height + _HEAD + _DEGREES + _FOOT
    figure = Figure((full_width / _DPI, full_height / _DPI), dpi=_DPI, facecolor="white")
    canvas: Any = FigureCanvasAgg(figure)  # untyped
    sheet = figure.add_axes((0, 0, 1, 1))
    sheet.axis("off")
    sheet.set(xlim=(0, full_width), ylim=(full_height, 0))
    _draw_head(sheet, text)
    left, foot = (full_width - width) // 2, _HEAD + height + _DEGREES
    _draw_ticks(sheet, grid, (left, _HEAD, left + width, _HEAD + height))
    _draw_legend(sheet, full_width, foot, legend)
    at = centre_pixel(grid)
    if at is not None:
        metres = at.width * grid.width / width
        _draw_scale(sheet, full_width, foot, metres)
        _draw_north(sheet, full_width, foot, at)
    pixels, (drawn_width, drawn_height) = canvas.print_to_buffer()
    page = Image.frombytes("RGBA", (drawn_width, drawn_height), pixels).convert("RGB")
    # pasted, because Matplotlib resamples images and takes ten times the memory
    page.paste(_FRAME_COLOUR, (left - 1, _HEAD - 1, left + width + 1, _HEAD + height + 1))
    page.paste(Image.fromarray(picture), (left, _HEAD))
    page.save(path, compress_level=3)


def compose(codes: NDArray[np.uint8], background: NDArray[np.floating] | None) -> Picture:
    """Return RGB (H, W, 3) of the codes (H, W) over the background (H, W) or (H, W, 3)."""
    picture = np.empty((*codes.shape, 3), dtype=np.float32)
    if background is None:
        picture[:] = _colour(LAND)
    else:
        picture[:] = background[..., None] if background.ndim == 2 else background
        picture[np.isnan(picture).any(-1)] = _BLANK_GREY
        np.clip(picture, 0, 1, out=picture)
    for code, opacity in _OPACITY.items():
        mask = codes == code
        picture[mask] = opacity * _colour(code) + (1 - opacity) * picture[mask]
    rows, columns = np.arange(codes.shape[0])[:, None], np.arange(codes.shape[1])
    stripes = (rows + columns) // (_STRIPE_PERIOD // 2) % 2
    excluded = codes == EXCLUDED
    picture[excluded] = _STRIPE_COLOURS[stripes[excluded]]
    picture[codes == NODATA] = _BLANK_GREY
    return (picture * 255).round().astype(np.uint8)


def _colour(code: int) -> NDArray[np.float64]:
    return np.array(COLOURS[code][:3]) / 255


def resized(values: NDArray[_Number], height: int, width: int) -> NDArray[_Number]:
    """Return (H, W, ...) resized to ``height`` and ``width`` by nearest neighbour."""
    rows = ((np.arange(height) + 0.5) * values.shape[0] / height).astype(int)
    columns = ((np.arange(width) + 0.5) * values.shape[1] / width).astype(int)
    return np.asarray(values[rows[:, None], columns])


def _draw_head(sheet: Axes, text: Sequence[str]) -> None:
    sheet.text(_MARGIN, 34, text[0], fontsize=15, fontweight="bold", va="baseline", parse_math=False)
    for number, line in enumerate(text[1:]):
        sheet.text(_MARGIN, 56 + 20 * number, line, fontsize=10, color="0.25", va="baseline", parse_math=False)


def _draw_ticks(sheet: Axes, grid: GeoGrid, frame: tuple[int, int, int, int]) -> None:
    """Draw ticks and degrees at the sides of the map; ``frame`` is its left, top, right and bottom."""
    left, top, right, bottom = frame
    style: dict[str, Any] = {"fontsize": 8, "color": "0.25"}
    sides: dict[str, tuple[float, float, int, int]] = {
        "top": (left, top, 0, -1), "bottom": (left, bottom, 0, 1),
        "left": (left, top, -1, 0), "right": (right, top, 1, 0),
    }  # fmt: skip
    lines_x, lines_y = [], []  # all ticks are one line with gaps
    for tick in frame_ticks(grid, bottom - top, right - left):
        x, y, across, down = sides[tick.side]
        x, y = (x + tick.position, y) if down else (x, y + tick.position)
        lines_x += [x, x + across * _TICK, np.nan]
        lines_y += [y, y + down * _TICK, np.nan]
        if tick.label and tick.side == "bottom":
            sheet.text(x, y + _TICK + 2, tick.label, ha="center", va="top", **style)
        elif tick.label:
            sheet.text(x - _TICK - 2, y, tick.label, ha="right", va="center", rotation=90, **style)
    sheet.plot(lines_x, lines_y, color=np.array(_FRAME_COLOUR) / 255, linewidth=0.8)


def _class_entries(codes: list[int], water_name: str) -> list[LegendEntry]:
    """Return the legend of class codes."""
    entries = []
    for code in (FLOOD, PERMANENT_WATER, EXCLUDED, LAND, NODATA):
        if code not in codes:
            continue
        face = [_BLANK_GREY] * 3 if code == NODATA else _STRIPE_COLOURS[1] if code == EXCLUDED else _colour(code)
        edge, hatch = (_STRIPE_COLOURS[0], "////") if code == EXCLUDED else ("0.4", None)
        entries.append(LegendEntry(water_name if code == FLOOD else CLASS_NAMES[code], face, edge, hatch))
    return entries


def _draw_legend(sheet: Axes, right: float, top: float, legend: Sequence[LegendEntry]) -> None:
    """Draw the legend in rows that end before the scale bar."""
    x, y = float(_MARGIN), top + 22
    limit = right - _MARGIN - 56 - _MAX_BAR - 24
    for entry in legend:
        label = sheet.text(x + 29, y + 7, entry.label, fontsize=10, va="center_baseline")
        width = label.get_window_extent().width
        if x > _MARGIN and x + 29 + width > limit:
            x, y = float(_MARGIN), y + 22
            label.set_position((x + 29, y + 7))
        box: dict[str, Any] = {"facecolor": entry.face, "edgecolor": entry.edge, "hatch": entry.hatch}
        sheet.add_patch(Rectangle((x, y), 22, 14, linewidth=0.8, **box))
        x += 29 + width + 24


def _draw_scale(sheet: Axes, right: float, top: float, metres: float) -> None:
    """Draw a scale bar of a round length; ``metres`` is the width of a picture pixel on the ground."""
    length = round_length(_MAX_BAR * metres)
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
    x, y, length = right - _MARGIN - 18, top + 42, 19
    east, down = at.north
    style = {
        "arrowstyle": "-|>,head_width=0.3,head_length=0.6", "color": "0.15", "linewidth": 1.4,
        "shrinkA": 0, "shrinkB": 0,
    }  # fmt: skip
    tip, tail = (x + length * east, y + length * down), (x - length * east, y - length * down)
    sheet.annotate("", tip, tail, arrowprops=style)
    label = x + (length + 9) * east, y + (length + 9) * down
    sheet.text(*label, "N", fontsize=10, fontweight="bold", ha="center", va="center")
