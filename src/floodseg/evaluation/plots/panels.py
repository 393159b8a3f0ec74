"""Image panels: chips side by side with their labels and maps.

Figures use matplotlib's objects directly, so that the state and the backend of ``pyplot`` stay unchanged.
"""

import io
from collections.abc import Callable, Sequence
from functools import cache, partial
from pathlib import Path

import numpy as np
from matplotlib import colormaps, font_manager
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize, to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from PIL import Image

from floodseg.bands import DATES, band_date
from floodseg.evaluation.plots.images import (
    ERROR_COLOURS,
    LABEL_COLOURS,
    PROBABILITY_COLOURS,
    TRUE_COLOUR,
    PictureRow,
    Pixels,
    colour_bands,
    error_image,
    has_both_dates,
    label_image,
    optical_image,
    probability_image,
    sar_image,
)
from floodseg.system.files import replacing

DPI = 110
# sizes in inches
_PANEL, _GAP, _SIDE, _ROW_TEXT, _HEADER, _LEGEND = 2.3, 0.08, 0.12, 0.27, 0.62, 0.72

Painter = Callable[[PictureRow], Pixels]


def _columns(rows: Sequence[PictureRow]) -> list[tuple[str, Painter]]:
    """Return title and painter of each column that at least one row fills."""
    columns: list[tuple[str, Painter]] = []
    if any(row.bands.sar for row in rows):
        columns.append((_sar_title(rows), sar_image))
    if any(row.chip.optical_valid.any() for row in rows):
        names = {name for row in rows for name in row.bands.optical}
        for date in (date for date in ("", *DATES) if any(band_date(name) == date for name in names)):
            columns.append((_optical_title(sorted(names), date), partial(optical_image, date=date)))
    columns.append(("label", label_image))
    if any(row.probability is not None for row in rows):
        columns.append(("water probability", probability_image))
    columns.append(("errors", error_image))
    return columns


def _sar_title(rows: Sequence[PictureRow]) -> str:
    if any({"VV", "VH"} <= set(row.bands.sar) for row in rows):
        return "radar (VV, VH, VV\N{MINUS SIGN}VH)"
    return "radar (before red, after cyan)" if any(has_both_dates(row.bands.sar) for row in rows) else "radar"


def _optical_title(names: Sequence[str], date: str) -> str:
    shown = colour_bands(names, date)
    bands = () if shown is None else tuple(name.removesuffix(f"_{date}") for name in shown)
    colours = {(): "", TRUE_COLOUR: " (true colour)"}.get(bands, f" ({', '.join(bands)})")
    return " ".join(filter(None, ("optical", date))) + colours


def rows_picture(path: Path, rows: Sequence[PictureRow], title: str) -> None:
    """Write a PNG with one row for each chip: radar, optical, label, probability and errors.

    Invalid pixels are striped. Columns that no row fills are left out.
    """
    assert rows, "a picture needs at least one chip"
    columns = _columns(rows)
    width = 2 * _SIDE + len(columns) * (_PANEL + _GAP) - _GAP
    height = _HEADER + len(rows) * (_ROW_TEXT + _PANEL + _GAP) + _LEGEND
    sheet = _Sheet(width, height)
    sheet.text(_SIDE, 0.27, title, 12, "bold")
    lefts = [_SIDE + j * (_PANEL + _GAP) for j in range(len(columns))]
    for left, (name, _) in zip(lefts, columns, strict=True):
        sheet.text(left, _HEADER - 0.03, name, 9.5)
    for i, row in enumerate(rows):
        top = _HEADER + _ROW_TEXT + i * (_ROW_TEXT + _PANEL + _GAP)
        end = sheet.text(_SIDE, top - 0.07, row.chip.name, 9, "bold")
        caption = row.caption.removeprefix(row.chip.name).lstrip(" :,")
        sheet.text(end + 0.12, top - 0.07, caption, 9)
        for left, (_, paint) in zip(lefts, columns, strict=True):
            axes = sheet.axes(left, top, _PANEL, _PANEL)
            axes.imshow(paint(row), interpolation="nearest" if paint in (label_image, error_image) else "antialiased")
            axes.set(xticks=[], yticks=[])
    for left, (_, paint) in zip(lefts, columns, strict=True):
        _draw_legend(sheet, paint, left, height - _LEGEND)
    _save_few_colours(sheet.figure, path)


class _Sheet:
    """A figure with coordinates in inches from its upper left corner."""

    def __init__(self, width: float, height: float) -> None:
        self.width, self.height = width, height
        self.figure = Figure(figsize=(width, height), dpi=DPI, facecolor="white")
        FigureCanvasAgg(self.figure)  # needed to measure text

    def text(self, left: float, baseline: float, line: str, size: float, weight: str = "normal") -> float:
        """Write a line of text, truncated at the right edge; return its right end."""
        available = self.width - _SIDE - left
        if available < size / 72:
            return left
        line = drawable(line)
        artist = self.figure.text(
            left / self.width, 1 - baseline / self.height, line, fontsize=size, fontweight=weight, parse_math=False
        )
        while (width := artist.get_window_extent().width / DPI) > available:
            line = line[: min(int(len(line) * available / width), len(line) - 1)]
            artist.set_text(f"{line.rstrip()}\N{HORIZONTAL ELLIPSIS}")
        return left + float(width)

    def axes(self, left: float, top: float, width: float, height: float) -> Axes:
        """Add axes with this upper left corner."""
        w, h = self.width, self.height
        return self.figure.add_axes((left / w, 1 - (top + height) / h, width / w, height / h))


def _draw_legend(sheet: _Sheet, paint: Painter, left: float, top: float) -> None:
    """Draw the legend below a column: a colour bar, or a patch for each class."""
    if paint is probability_image:
        bar = sheet.axes(left + 0.1, top + 0.1, _PANEL - 0.2, 0.12)
        scale = ScalarMappable(Normalize(0, 1), PROBABILITY_COLOURS)
        sheet.figure.colorbar(scale, cax=bar, orientation="horizontal", ticks=[0, 0.25, 0.5, 0.75, 1], format="%g")
        bar.tick_params(labelsize=8, length=2, pad=2)
        return
    if paint is label_image or paint is error_image:
        colours = LABEL_COLOURS if paint is label_image else ERROR_COLOURS
        patches = [Patch(facecolor=colour, edgecolor="#555555", label=name) for name, colour in colours.items()]
    else:
        patches = [Patch(facecolor="#c6c6c6", edgecolor="#555555", hatch="/////", label="not valid")]
    axes = sheet.axes(left, top + 0.04, _PANEL, _LEGEND - 0.1)
    axes.axis("off")
    axes.legend(
        handles=patches, loc="upper left", ncols=2, fontsize=8, frameon=False, borderaxespad=0, borderpad=0,
        handlelength=1.1, handleheight=1.0, handletextpad=0.5, columnspacing=1.0, labelspacing=0.4,
    )  # fmt: skip


@cache
def _font_characters() -> frozenset[int]:
    return frozenset(font_manager.get_font(font_manager.findfont("DejaVu Sans")).get_charmap())


def drawable(text: str) -> str:
    """Replace characters that the font lacks with question marks."""
    return "".join(c if ord(c) in _font_characters() and c.isprintable() else "?" for c in text)


def save_figure(figure: Figure, path: Path) -> None:
    """Write a PNG in one step."""
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=DPI)


def _save_few_colours(figure: Figure, path: Path) -> None:
    """Write a PNG of 256 colours in one step, because speckle takes three times the space in true colour.

    White, greys, class colours and the probability scale are fixed. The other colours are chosen for the images.
    """
    scale = colormaps[PROBABILITY_COLOURS](np.linspace(0, 1, 64))[:, :3]
    classes = [to_rgb(colour) for colour in {*LABEL_COLOURS.values(), *ERROR_COLOURS.values()}]
    greys = np.linspace(0, 1, 24)[:, None].repeat(3, axis=1)
    fixed = np.round(np.concatenate((scale, np.array(classes), greys)) * 255).astype(int)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI, pil_kwargs={"compress_level": 0})
    with Image.open(buffer) as image, replacing(path) as temporary:
        pixels = image.convert("RGB")
        chosen = np.array(pixels.quantize(256 - len(fixed), method=Image.Quantize.MEDIANCUT).getpalette()).reshape(
            -1, 3
        )
        # Pillow looks colours up in boxes of 4 levels, where a similar colour could replace a fixed one
        distinct = (np.abs(chosen[:, None] - fixed).max(axis=-1) > 8).all(axis=1)
        palette = Image.new("P", (1, 1))
        palette.putpalette(np.concatenate((fixed, chosen[distinct])).ravel().tolist())
        pixels.quantize(palette=palette, dither=Image.Dither.NONE).save(temporary, format="PNG", optimize=True)
