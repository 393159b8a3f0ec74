"""Curves: training, thresholds, clouds and reliability."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from floodseg.evaluation.metrics.counts import RELIABILITY_BINS, ReliabilityBins
from floodseg.evaluation.plots.images import AMBER, BLUE, RED
from floodseg.evaluation.plots.panels import DPI, drawable, save_figure

_SENSORS = {"both": ("both sensors", BLUE, "o", "-"), "sar": ("radar only", RED, "s", "--"),
            "optical": ("optical only", AMBER, "^", "-.")}  # fmt: skip
TOLERATED_LOSS = 0.01
"""Tolerated loss in water IoU of a fused map against a map of one sensor, drawn as a line."""


def cloud_picture(path: Path, clouds: Sequence[Mapping[str, Any]], title: str) -> None:
    """Write a PNG of the water IoU over cloud cover with intervals, and of the gain of fusion over each sensor.

    Args:
        path: the PNG.
        clouds: result of :func:`floodseg.evaluation.clouds.cloud_scores`.
        title: title of the figure.
    """
    rows = sorted(clouds, key=lambda row: float(row["cover"]))
    cover = np.array([row["cover"] for row in rows])
    fused = "both" in rows[0]
    figure = Figure(figsize=(6.4, 7.2 if fused else 4.6), dpi=DPI, layout="constrained")
    panels = figure.subplots(2 if fused else 1, 1, sharex=True, squeeze=False, height_ratios=(1.5, 1)[: 1 + fused])
    score: Axes = panels[0, 0]
    for sensors, (label, colour, marker, line) in _SENSORS.items():
        if sensors not in rows[0]:
            continue
        values = _floats([row[sensors]["water_iou"] for row in rows])
        low, high = _interval([row[sensors]["water_iou_ci95"] for row in rows])
        score.fill_between(cover, low, high, color=colour, alpha=0.12, linewidth=0)
        score.plot(cover, values, color=colour, marker=marker, linestyle=line, linewidth=1.5, label=label)
    score.set(ylabel="water IoU, each over its valid pixels", ylim=(0, 1), xlim=(-0.02, 1.02))
    score.legend(frameon=False, loc="lower left")
    score.set_title(
        f"{drawable(title)}\nsimulated clouds, mask: {rows[0]['mask_quality']}", fontsize=11, loc="left",
        parse_math=False,
    )  # fmt: skip
    if fused:
        _gains(panels[1, 0], cover, rows)
    panels[-1, 0].set_xlabel("share of the optical image under cloud")
    for axes in panels[:, 0]:
        axes.grid(alpha=0.3)
    save_figure(figure, path)


def _gains(axes: Axes, cover: NDArray[np.float64], rows: Sequence[Mapping[str, Any]]) -> None:
    axes.axhline(0, color="#555555", linewidth=1)
    axes.axhline(-TOLERATED_LOSS, color="#555555", linewidth=1, linestyle=":")
    for sensor in ("sar", "optical"):
        label, colour, marker, _ = _SENSORS[sensor]
        found = [row[f"fused_minus_{sensor}"] for row in rows]
        values = _floats([each and each["difference"] for each in found])
        low, high = _interval([each and each["ci95"] for each in found])
        # shifted, so that the intervals do not overlap
        at = cover + (-0.006 if sensor == "sar" else 0.006)
        axes.errorbar(
            at, values, (np.maximum(values - low, 0), np.maximum(high - values, 0)), color=colour, marker=marker,
            linestyle="none", capsize=3, label=f"less {label}",
        )  # fmt: skip
    axes.set_ylabel("both sensors, same pixels")
    axes.legend(frameon=False, loc="upper right")


def _floats(values: Sequence[float | None]) -> NDArray[np.float64]:
    return np.array([np.nan if value is None else value for value in values], np.float64)


def _interval(ends: Sequence[Sequence[float] | None]) -> NDArray[np.float64]:
    """Return lower and upper bounds, (2, n); NaN without an interval."""
    return np.array([(np.nan, np.nan) if each is None else tuple(each) for each in ends], np.float64).T


_CHOICES = {"used": "o", "best_iou": "x", "precision_oriented": ">", "recall_oriented": "<"}


def threshold_picture(path: Path, study: Mapping[str, Any], title: str) -> None:
    """Write a PNG of precision, recall and water IoU over the threshold, with the choices marked.

    Args:
        path: the PNG.
        study: result of :func:`floodseg.evaluation.studies.threshold_study`.
        title: title of the figure.
    """
    figure = Figure(figsize=(6.4, 4.6), dpi=DPI, layout="constrained")
    axes: Axes = figure.subplots()
    rows, choices = study["table"], study["choices"]
    at = np.array([row["threshold"] for row in rows])
    for key, label, colour, line in (
        ("precision", "precision", RED, "--"), ("recall", "recall", AMBER, "-."), ("water_iou", "water IoU", BLUE, "-")
    ):  # fmt: skip
        axes.plot(at, _floats([row[key] for row in rows]), color=colour, linestyle=line, linewidth=1.5, label=label)
    for name, marker in _CHOICES.items():
        chosen = choices[name]
        if chosen is None or chosen["threshold"] is None or chosen["water_iou"] is None:
            continue
        axes.plot(
            chosen["threshold"], chosen["water_iou"], color="#222222", marker=marker, linestyle="none", markersize=7,
            fillstyle="none", label=f"{name.replace('_', ' ').replace('iou', 'IoU')}: {chosen['threshold']:.2f}",
        )  # fmt: skip
    axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="threshold of the water probability, for all sensors")
    axes.set_title(drawable(title), fontsize=11, loc="left", parse_math=False)
    figure.legend(frameon=False, loc="outside lower center", ncols=3, fontsize=9)  # never covers the curves
    axes.grid(alpha=0.3)
    save_figure(figure, path)


def curves_picture(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write a PNG of the training curves: losses, validation water IoU and learning rate over epochs.

    Args:
        path: the PNG.
        rows: one for each epoch, with ``epoch``, ``train_loss``, ``valid_loss``, ``water_iou`` and ``lr``; None for an
            undefined value.
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


def _column(rows: Sequence[Mapping[str, Any]], name: str) -> NDArray[np.float64]:
    return _floats([row[name] for row in rows])


def reliability_picture(path: Path, bins: ReliabilityBins, title: str) -> None:
    """Write a PNG of the share of water over the predicted probability, and of the pixels in each bin."""
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
