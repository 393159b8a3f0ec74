"""Curves of a score over what was varied, and what they are compared with."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from floodseg.evaluation.plots.images import AMBER, BLUE, RED
from floodseg.evaluation.plots.panels import DPI, drawable, save_figure

_SENSORS = {"both": ("both sensors", BLUE, "o", "-"), "sar": ("radar alone", RED, "s", "--"),
            "optical": ("optical alone", AMBER, "^", "-.")}  # fmt: skip
TOLERATED_LOSS = 0.01
"""Water IoU by which a fused map may stay below the better of its sensors; drawn as a line."""


def cloud_picture(path: Path, clouds: Sequence[Mapping[str, Any]], title: str) -> None:
    """Write a PNG of water IoU over cloud cover, with intervals, and below it what fusion gains on each sensor.

    Args:
        path: the PNG.
        clouds: one object for each cover, as ``cloud_test.cloud_scores`` returns them.
        title: stands above, beside the quality of the cloud mask.
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
        values = _numbers([row[sensors]["water_iou"] for row in rows])
        low, high = _interval([row[sensors]["water_iou_ci95"] for row in rows])
        score.fill_between(cover, low, high, color=colour, alpha=0.12, linewidth=0)
        score.plot(cover, values, color=colour, marker=marker, linestyle=line, linewidth=1.5, label=label)
    score.set(ylabel="water IoU, each over the pixels that it sees", ylim=(0, 1), xlim=(-0.02, 1.02))
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
        values = _numbers([each and each["difference"] for each in found])
        low, high = _interval([each and each["ci95"] for each in found])
        # side by side, or the intervals would hide each other
        at = cover + (-0.006 if sensor == "sar" else 0.006)
        axes.errorbar(
            at, values, (np.maximum(values - low, 0), np.maximum(high - values, 0)), color=colour, marker=marker,
            linestyle="none", capsize=3, label=f"less {label}",
        )  # fmt: skip
    axes.set_ylabel("both sensors, same pixels")
    axes.legend(frameon=False, loc="upper right")


def _numbers(values: Sequence[float | None]) -> NDArray[np.float64]:
    return np.array([np.nan if value is None else value for value in values], np.float64)


def _interval(ends: Sequence[Sequence[float] | None]) -> NDArray[np.float64]:
    """Return low and high ends, (2, n), NaN where there is no interval."""
    return np.array([(np.nan, np.nan) if each is None else tuple(each) for each in ends], np.float64).T


_CHOICES = {"used": "o", "best_iou": "x", "precision_oriented": ">", "recall_oriented": "<"}


def threshold_picture(path: Path, study: Mapping[str, Any], title: str) -> None:
    """Write a PNG of precision, recall and water IoU over the threshold, with the choices that stand out.

    Args:
        path: the PNG.
        study: as ``decision_study.threshold_study`` returns it.
        title: stands above.
    """
    figure = Figure(figsize=(6.4, 4.6), dpi=DPI, layout="constrained")
    axes: Axes = figure.subplots()
    rows, choices = study["table"], study["choices"]
    at = np.array([row["threshold"] for row in rows])
    for key, label, colour, line in (
        ("precision", "precision", RED, "--"), ("recall", "recall", AMBER, "-."), ("water_iou", "water IoU", BLUE, "-")
    ):  # fmt: skip
        axes.plot(at, _numbers([row[key] for row in rows]), color=colour, linestyle=line, linewidth=1.5, label=label)
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
    axes.legend(frameon=False, loc="lower center", ncols=2, fontsize=9)
    axes.grid(alpha=0.3)
    save_figure(figure, path)
