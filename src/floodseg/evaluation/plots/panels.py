"""Pictures to look at: chips side by side with their maps, training curves, and how well probabilities hold.

Figures are made with matplotlib's objects alone, so that nothing here touches the state or the backend of ``pyplot``.
"""

import io
import math
from collections.abc import Callable, Mapping, Sequence
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
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray
from PIL import Image

from floodseg.bands import DATES, band_date
from floodseg.evaluation.metrics.counts import RELIABILITY_BINS, ReliabilityBins
from floodseg.evaluation.plots.images import (
    AMBER,
    BLUE,
    ERROR_COLOURS,
    LABEL_COLOURS,
    PROBABILITY_COLOURS,
    RED,
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
_PANEL, _GAP, _SIDE, _ROW_TEXT, _HEAD, _FOOT = 2.3, 0.08, 0.12, 0.27, 0.62, 0.72

Painter = Callable[[PictureRow], Pixels]


def _columns(rows: Sequence[PictureRow]) -> list[tuple[str, Painter]]:
    """Return the columns that at least one row can fill."""
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
        return "SAR (VV, VH, VV\N{MINUS SIGN}VH)"
    return "SAR (before red, after cyan)" if any(has_both_dates(row.bands.sar) for row in rows) else "SAR"


def _optical_title(names: Sequence[str], date: str) -> str:
    shown = colour_bands(names, date)
    bands = () if shown is None else tuple(name.removesuffix(f"_{date}") for name in shown)
    colours = {(): "", TRUE_COLOUR: " (true colour)"}.get(bands, f" ({', '.join(bands)})")
    return " ".join(filter(None, ("optical", date))) + colours


def rows_picture(path: Path, rows: Sequence[PictureRow], title: str) -> None:
    """Write a PNG with one row a chip: radar, optical, label, probability and errors side by side.

    Striped pixels are invalid. The optical and the probability column are left out when no row fills them.
    """
    assert rows, "a picture needs at least one chip"
    columns = _columns(rows)
    width = 2 * _SIDE + len(columns) * (_PANEL + _GAP) - _GAP
    height = _HEAD + len(rows) * (_ROW_TEXT + _PANEL + _GAP) + _FOOT
    sheet = _Sheet(width, height)
    sheet.text(_SIDE, 0.27, title, 12, "bold")
    lefts = [_SIDE + j * (_PANEL + _GAP) for j in range(len(columns))]
    for left, (name, _) in zip(lefts, columns, strict=True):
        sheet.text(left, _HEAD - 0.03, name, 9.5)
    for i, row in enumerate(rows):
        top = _HEAD + _ROW_TEXT + i * (_ROW_TEXT + _PANEL + _GAP)
        end = sheet.text(_SIDE, top - 0.07, row.chip.name, 9, "bold")
        caption = row.caption.removeprefix(row.chip.name).lstrip(" :,")
        sheet.text(end + 0.12, top - 0.07, caption, 9)
        for left, (_, paint) in zip(lefts, columns, strict=True):
            axes = sheet.axes(left, top, _PANEL, _PANEL)
            axes.imshow(paint(row), interpolation="nearest" if paint in (label_image, error_image) else "antialiased")
            axes.set(xticks=[], yticks=[])
    for left, (_, paint) in zip(lefts, columns, strict=True):
        _foot(sheet, paint, left, height - _FOOT)
    _save_few_colours(sheet.figure, path)


class _Sheet:
    """A figure addressed in inches from its upper left corner."""

    def __init__(self, width: float, height: float) -> None:
        self.width, self.height = width, height
        self.figure = Figure(figsize=(width, height), dpi=DPI, facecolor="white")
        FigureCanvasAgg(self.figure)  # text is measured while the figure is put together

    def text(self, left: float, baseline: float, words: str, size: float, weight: str = "normal") -> float:
        """Write one line, cut off at the right edge; return where it ends."""
        room = self.width - _SIDE - left
        if room < size / 72:
            return left
        words = drawable(words)
        artist = self.figure.text(
            left / self.width, 1 - baseline / self.height, words, fontsize=size, fontweight=weight, parse_math=False
        )
        while (taken := artist.get_window_extent().width / DPI) > room:
            words = words[: min(int(len(words) * room / taken), len(words) - 1)]
            artist.set_text(f"{words.rstrip()}\N{HORIZONTAL ELLIPSIS}")
        return left + float(taken)

    def axes(self, left: float, top: float, width: float, height: float) -> Axes:
        """Add axes whose upper left corner is given."""
        w, h = self.width, self.height
        return self.figure.add_axes((left / w, 1 - (top + height) / h, width / w, height / h))


def _foot(sheet: _Sheet, paint: Painter, left: float, top: float) -> None:
    """Put the key of a column below it: colour bar, or a patch for each class."""
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
    axes = sheet.axes(left, top + 0.04, _PANEL, _FOOT - 0.1)
    axes.axis("off")
    axes.legend(
        handles=patches, loc="upper left", ncols=2, fontsize=8, frameon=False, borderaxespad=0, borderpad=0,
        handlelength=1.1, handleheight=1.0, handletextpad=0.5, columnspacing=1.0, labelspacing=0.4,
    )  # fmt: skip


@cache
def _known_characters() -> frozenset[int]:
    return frozenset(font_manager.get_font(font_manager.findfont("DejaVu Sans")).get_charmap())


def drawable(words: str) -> str:
    """Replace what the font cannot draw (control characters, some scripts), which would be boxes and warnings."""
    return "".join(c if ord(c) in _known_characters() and c.isprintable() else "?" for c in words)


def save_figure(figure: Figure, path: Path) -> None:
    """Write a PNG in one step."""
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=DPI)


def _save_few_colours(figure: Figure, path: Path) -> None:
    """Write a PNG of 256 colours in one step; speckle does not compress, so true colours would take thrice the space.

    White, greys, class colours and the probability scale are kept, the other colours are chosen for the imagery.
    """
    scale = colormaps[PROBABILITY_COLOURS](np.linspace(0, 1, 64))[:, :3]
    classes = [to_rgb(colour) for colour in {*LABEL_COLOURS.values(), *ERROR_COLOURS.values()}]
    greys = np.linspace(0, 1, 24)[:, None].repeat(3, axis=1)
    kept = np.round(np.concatenate((scale, np.array(classes), greys)) * 255).astype(int)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI, pil_kwargs={"compress_level": 0})
    with Image.open(buffer) as image, replacing(path) as temporary:
        pixels = image.convert("RGB")
        chosen = np.array(pixels.quantize(256 - len(kept), method=Image.Quantize.MEDIANCUT).getpalette()).reshape(-1, 3)
        # Pillow looks colours up in boxes of 4 levels: a neighbour of a kept colour would be taken in its place
        apart = (np.abs(chosen[:, None] - kept).max(axis=-1) > 8).all(axis=1)
        palette = Image.new("P", (1, 1))
        palette.putpalette(np.concatenate((kept, chosen[apart])).ravel().tolist())
        pixels.quantize(palette=palette, dither=Image.Dither.NONE).save(temporary, format="PNG", optimize=True)


def curves_picture(path: Path, rows: Sequence[Mapping[str, object]]) -> None:
    """Write a PNG of the training curves: losses, validation water IoU and learning rate over epochs.

    Args:
        path: the PNG.
        rows: one for each epoch, with ``epoch``, ``train_loss``, ``valid_loss``, ``water_iou`` and ``lr``; a value
            may be None where it is undefined.
    """
    epochs = _column(rows, "epoch")
    figure = Figure(figsize=(7.0, 7.2), dpi=DPI, layout="constrained")
    loss, iou, rate = figure.subplots(3, 1, sharex=True, height_ratios=(1.3, 1.3, 0.7))
    style = {"marker": "o", "markersize": 3, "linewidth": 1.5}
    loss.plot(epochs, _column(rows, "train_loss"), color=BLUE, label="training", **style)
    loss.plot(epochs, _column(rows, "valid_loss"), color=RED, label="validation", linestyle="--", **style)
    loss.set_ylabel("loss")
    loss.legend(frameon=False)
    water_iou = _column(rows, "water_iou")
    iou.plot(epochs, water_iou, color=BLUE, **style)
    iou.set(ylabel="validation water IoU", ylim=(0, 1))
    if np.isfinite(water_iou).any():
        best = int(np.nanargmax(water_iou))
        iou.plot(epochs[best], water_iou[best], "o", color=RED, markersize=7, fillstyle="none")
        iou.set_title(f"best {water_iou[best]:.3f} at epoch {epochs[best]:.0f}", fontsize=10, loc="left")
    rate.plot(epochs, _column(rows, "lr"), color=BLUE, **style)
    rate.set(ylabel="learning rate", xlabel="epoch")
    rate.set_ylim(bottom=0)
    rate.ticklabel_format(axis="y", style="sci", scilimits=(0, 0))
    rate.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    for axes in (loss, iou, rate):
        axes.grid(alpha=0.3)
    save_figure(figure, path)


def _column(rows: Sequence[Mapping[str, object]], name: str) -> NDArray[np.float64]:
    values = [row[name] for row in rows]
    return np.array([value if isinstance(value, int | float) else math.nan for value in values], np.float64)


def reliability_picture(path: Path, bins: ReliabilityBins, title: str) -> None:
    """Write a PNG of the share of water over the predicted probability, with the pixels of each bin below it."""
    figure = Figure(figsize=(5.4, 6.4), dpi=DPI, layout="constrained")
    diagram, histogram = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    edges = np.linspace(0, 1, RELIABILITY_BINS + 1)
    filled = bins.pixels > 0
    pixels = bins.pixels[filled]
    predicted, observed = bins.probability[filled] / pixels, bins.water[filled] / pixels
    diagram.plot([0, 1], [0, 1], color="#555555", linestyle="--", linewidth=1, label="perfectly calibrated")
    diagram.vlines(
        predicted,
        np.minimum(predicted, observed),
        np.maximum(predicted, observed),
        color=AMBER,
        linewidth=4,
        label="gap",
    )
    diagram.plot(predicted, observed, color=BLUE, marker="o", markersize=5, linewidth=1.5, label="model")
    diagram.set(xlim=(0, 1), ylim=(0, 1), ylabel="share of water in the labels")
    diagram.legend(loc="upper left", frameon=False)
    ece = "no counted pixel" if bins.ece is None else f"expected calibration error {bins.ece:.4f}"
    diagram.set_title(f"{drawable(title)}\n{ece}", fontsize=11, loc="left", parse_math=False)
    histogram.bar(edges[:-1], bins.pixels, width=1 / RELIABILITY_BINS, align="edge", color=BLUE, edgecolor="white")
    histogram.set(xlabel="predicted water probability", ylabel="pixels")
    if filled.any():
        histogram.set_yscale("log")
        histogram.set_ylim(bottom=0.5)
    else:
        histogram.set_ylim(0, 1)
    for axes in (diagram, histogram):
        axes.grid(alpha=0.3)
        axes.set_axisbelow(True)
    save_figure(figure, path)
