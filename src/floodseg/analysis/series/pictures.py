"""Pictures of a series: areas over time, and the frequency of water as a map."""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure
from numpy.typing import NDArray
from rasterio.enums import Resampling

from floodseg.analysis.series.documents import SeriesInfo
from floodseg.analysis.series.layers import FREQUENCY, NO_PERCENT
from floodseg.geo.footprints import centre_pixel
from floodseg.geo.grid import GeoGrid
from floodseg.products.cog import COLOURS
from floodseg.products.quicklook import picture_shape, round_length
from floodseg.products.strips import FLOOD, LAND, PERMANENT_WATER

_DPI = 100
_BLANK = (0.94, 0.94, 0.94)
_LONGEST_SIDE = 1000
_LINE_DATES = 60
"""Largest number of dates that are marked by points."""


def draw_areas(path: Path, info: SeriesInfo) -> None:
    """Draw the area of water by date, and the share of the area that was clear."""
    figure = Figure((9, 5.4), dpi=_DPI, layout="constrained")
    FigureCanvasAgg(figure)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    times = [datetime.fromisoformat(row["datetime"]).replace(tzinfo=None) for row in info.rows]
    marker = "o" if len(times) <= _LINE_DATES else ""
    style: dict[str, Any] = {"marker": marker, "markersize": 4, "linewidth": 1.4}
    upper.plot(times, _column(info, "water_km2"), color=_rgb(FLOOD), label="water", **style)
    permanent = _column(info, "permanent_water_km2")
    if permanent.any():
        upper.plot(times, permanent, color=_rgb(PERMANENT_WATER), label="of it permanent", **style)
        upper.legend(frameon=False)
    upper.set(ylabel="water (km²)", ylim=(0, None))
    lower.plot(times, 100 * _column(info, "clear_share"), color="0.35", **style)
    lower.set(ylabel="clear (%)", ylim=(0, 105))
    locator: Any = AutoDateLocator()  # type: ignore[no-untyped-call]
    lower.xaxis.set_major_locator(locator)
    lower.xaxis.set_major_formatter(ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]
    for axes in (upper, lower):
        axes.grid(color="0.9")
        axes.spines[["top", "right"]].set_visible(False)
    upper.set_title(f"Water over time, {_period(info)}", loc="left", fontweight="bold")
    figure.savefig(path)


def draw_frequency(path: Path, info: SeriesInfo, raster: Path) -> None:
    """Draw the frequency of water with its scale; ``raster`` is its file."""
    height, width = picture_shape(info.grid)
    shrink = min(1.0, _LONGEST_SIDE / max(height, width))
    height, width = round(height * shrink), round(width * shrink)
    with rasterio.open(raster) as file:
        shape = min(height, file.height), min(width, file.width)
        percent = file.read(1, out_shape=shape, resampling=Resampling.nearest)
    figure = Figure(((width + 180) / _DPI, (height + 120) / _DPI), dpi=_DPI, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    axes.set_facecolor(_BLANK)
    colours = LinearSegmentedColormap.from_list("water", [_rgb(LAND), _rgb(FLOOD), _rgb(PERMANENT_WATER)])
    shown = np.ma.masked_equal(percent, NO_PERCENT)
    extent = (0, width, height, 0)
    image = axes.imshow(shown, colours, vmin=0, vmax=100, interpolation="nearest", extent=extent, aspect="equal")
    axes.set(xticks=[], yticks=[])
    figure.colorbar(image, ax=axes, label=f"{FREQUENCY.format.description} (%)", shrink=0.8)
    axes.set_title(f"Water frequency, {_period(info)}", loc="left", fontweight="bold", fontsize=11)
    _draw_scale(axes, info.grid, width, height)
    figure.savefig(path)


def _draw_scale(axes: Axes, grid: GeoGrid, width: int, height: int) -> None:
    """Draw a scale bar of a round length below the map, and what its grey means."""
    below: dict[str, Any] = {"va": "top", "fontsize": 9, "color": "0.3"}
    at = centre_pixel(grid)
    if at is not None:
        metres = at.width * grid.width / width
        length = round_length(width * metres / 4)
        label = f"{length / 1000:g} km" if length >= 1000 else f"{length:g} m"
        axes.plot([0, length / metres], [height + 8] * 2, color="0.15", linewidth=2, clip_on=False)
        axes.text(0, height + 12, label, **below)
    axes.text(width, height + 12, "grey: never clear", ha="right", **below)
    axes.set(xlim=(0, width), ylim=(height, 0))


def _period(info: SeriesInfo) -> str:
    first, last = info.dates[0].time, info.dates[-1].time
    return f"{first:%Y-%m-%d} to {last:%Y-%m-%d}, {len(info.dates)} dates"


def _column(info: SeriesInfo, name: str) -> NDArray[np.float64]:
    return np.array([row[name] for row in info.rows], np.float64)


def _rgb(code: int) -> Sequence[float]:
    return [part / 255 for part in COLOURS[code][:3]]
