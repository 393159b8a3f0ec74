"""``exposure.png``: bars of the affected share of each quantity, beside the map."""

import textwrap
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure as Sheet
from matplotlib.patches import Patch
from rasterio.enums import Resampling

from floodseg.analysis.exposure.figures import Figure, Item
from floodseg.analysis.exposure.run import Run
from floodseg.analysis.exposure.stac_item import attribution
from floodseg.analysis.exposure.table import DEPTH_NAMES
from floodseg.products.cog import COLOURS
from floodseg.products.quicklook import compose, picture_shape
from floodseg.products.strips import CLASS_NAMES, LAND, NODATA

_DPI = 120
_WIDTH, _MIN_HEIGHT, _BAR_HEIGHT, _HEAD_HEIGHT = 13.0, 5.2, 0.62, 1.8
"""Inches."""
_MAX_ROADS = 5
"""Classes of roads in the chart, the longest in the area."""
_AFFECTED, _NOT_SEEN, _REST = "#1f78b4", "#bdbdbd", "#efe9da"
_DEPTHS = ("#c6dbef", "#9ecae1", "#6baed6", "#3182bd", "#08306b", "#8c6bb1")
"""Colours of the classes of depth, the last of unknown depth."""
_CAPTION_WIDTH = 210
_LEAST_LIMIT = 1.0
"""Smallest end of the axis in percent."""


def draw_chart(path: Path, run: Run) -> None:
    """Draw the map on the left, and a bar for each quantity in the area on the right."""
    items = _shown(run.items)
    height = max(_MIN_HEIGHT, _HEAD_HEIGHT + _BAR_HEIGHT * len(items))
    sheet = Sheet((_WIDTH, height), dpi=_DPI, facecolor="white", layout="constrained")
    canvas: Any = FigureCanvasAgg(sheet)  # untyped
    left, right = sheet.subplots(1, 2, width_ratios=(1, 1.3))
    _draw_map(left, run)
    _draw_bars(right, items)
    date = "" if run.acquisition is None else f", {run.acquisition.time:%Y-%m-%d %H:%M} UTC"
    sheet.suptitle(f"Exposure to the flood{date}", fontsize=14, fontweight="bold", x=0.01, ha="left")
    caption = textwrap.fill(f"Sources: {attribution(run)}", _CAPTION_WIDTH)
    sheet.supxlabel(caption, fontsize=7, color="0.3", x=0.01, ha="left", parse_math=False)
    canvas.print_png(path)


def _shown(items: tuple[Item, ...]) -> list[Item]:
    """Return the items with anything in the area; of the classes of roads, the longest ones."""
    classes = [item for item in items if item.layer == "roads" and ":" in item.name]  # by falling length
    hidden = classes[_MAX_ROADS:]
    return [item for item in items if item.figures[0].total > 0 and item not in hidden]


def _draw_map(axes: Axes, run: Run) -> None:
    """Draw the classes of the map, with the borders of the regions."""
    grid, source = run.observed.grid, run.observed.flood.source
    height, width = picture_shape(grid)
    shape = min(height, grid.height), min(width, grid.width)
    codes = source.read(1, out_shape=shape, resampling=Resampling.mode)
    axes.imshow(
        compose(codes, None), extent=(0, grid.width, grid.height, 0), aspect=height / width * grid.width / grid.height,
        interpolation="nearest",
    )  # fmt: skip
    for zone in run.zones.pixels[1:]:
        for part in getattr(zone, "geoms", [zone]):
            axes.plot(*part.exterior.xy, color="0.15", linewidth=0.8)
    rows, columns = grid.flips
    if rows:
        axes.invert_yaxis()
    if columns:
        axes.invert_xaxis()
    axes.set(xticks=[], yticks=[])
    names = {code: name for code, name in CLASS_NAMES.items() if code in np.unique(codes)}
    colours = {code: "#{:02x}{:02x}{:02x}".format(*COLOURS[code]) for code in names}
    colours |= {LAND: _REST, NODATA: "#f0f0f0"}
    patches = [Patch(facecolor=colours[code], edgecolor="0.4", label=name) for code, name in names.items()]
    axes.legend(handles=patches, loc="upper center", bbox_to_anchor=(0.5, -0.01), ncols=3, fontsize=8, frameon=False)


def _draw_bars(axes: Axes, items: list[Item]) -> None:
    """Draw a bar for each item: affected, then not seen, in percent of its total in the area."""
    limit = max([_LEAST_LIMIT, *(100 * item.figures[0].upper / item.figures[0].total for item in items)])
    limit = min(100.0, 1.15 * limit)
    for row, item in enumerate(items):
        figure, start = item.figures[0], 0.0
        axes.barh(row, limit, color=_REST, height=0.45)
        for amount, colour in _parts(figure):
            share = 100 * amount / figure.total
            axes.barh(row, share, left=start, color=colour, height=0.45)
            start += share
        axes.text(0, row - 0.3, _label(item), fontsize=9, va="bottom", parse_math=False)
    axes.set(yticks=[], xlim=(0, limit), ylim=(len(items) - 0.4, -0.8))
    axes.set_xlabel("percent of the total in the area", fontsize=9)
    axes.spines[["top", "right", "left"]].set_visible(False)
    with_depth = [bool(item.figures[0].by_depth) for item in items]
    patches = [] if all(with_depth) else [Patch(color=_AFFECTED, label="in the mapped flood")]
    if any(with_depth):
        patches += [Patch(color=colour, label=name) for colour, name in zip(_DEPTHS, DEPTH_NAMES, strict=True)]
    patches.append(Patch(color=_NOT_SEEN, label="not seen (excluded, no data)"))
    axes.legend(handles=patches, loc="upper center", bbox_to_anchor=(0.5, -0.1), ncols=4, fontsize=8, frameon=False)


def _parts(figure: Figure) -> list[tuple[float, str]]:
    """Return the amounts and colours of the parts of a bar."""
    depths = list(zip(figure.by_depth, _DEPTHS, strict=True)) if figure.by_depth else [(figure.affected, _AFFECTED)]
    return [*depths, (figure.not_seen, _NOT_SEEN)]


def _label(item: Item) -> str:
    figure = item.figures[0]
    hidden = f", {amount(figure.not_seen)} not seen" if figure.not_seen else ""
    name = f"{item.name[0].upper()}{item.name[1:]}"
    unit = "" if item.unit == "number" else f" {item.unit}"
    return f"{name}: {amount(figure.affected)} of {amount(figure.total)}{unit}{hidden}"


def amount(value: float) -> str:
    """Return a number for readers: whole from 100 on, else with three digits."""
    return f"{value:,.0f}" if value >= 100 or value == round(value) else f"{value:.3g}"
