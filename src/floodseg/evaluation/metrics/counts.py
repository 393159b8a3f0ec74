"""Counts of pixels and their ratios.

Counts are summed over batches, processes, events and chips before ratios are computed. A ratio with denominator 0 is
None (null in JSON), not 0 or 1.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from floodseg.bands import IGNORE, WATER

if TYPE_CHECKING:  # scores need no PyTorch; training passes tensors
    from torch import Tensor

RELIABILITY_BINS = 15
BOOTSTRAP_DRAWS = 1000

Score = dict[str, int | float | list[float] | None]
"""The fields of one scored set of chips, as JSON values."""

Pixels: TypeAlias = "NDArray[Any] | Tensor"
"""One number for each pixel: an array, or a tensor on any device."""


def as_array(pixels: Pixels) -> NDArray[Any]:
    """Return pixels as an array; a tensor is copied to the CPU, half precision as float32."""
    if isinstance(pixels, np.ndarray):
        return pixels
    tensor = pixels.detach()
    half = tensor.is_floating_point() and tensor.element_size() < 4
    array: NDArray[Any] = (tensor.float() if half else tensor).cpu().numpy()
    return array


def _ratio(numerator: int, denominator: int) -> float | None:
    return numerator / denominator if denominator else None


@dataclass(frozen=True, slots=True)
class Counts:
    """True and false positives, false and true negatives of the class water, in pixels."""

    tp: int = 0
    fp: int = 0
    fn: int = 0
    tn: int = 0

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(self.tp + other.tp, self.fp + other.fp, self.fn + other.fn, self.tn + other.tn)

    @property
    def n(self) -> int:
        """All counted pixels."""
        return self.tp + self.fp + self.fn + self.tn

    @property
    def water_iou(self) -> float | None:
        """Intersection over union of water, tp / (tp + fp + fn)."""
        return _ratio(self.tp, self.tp + self.fp + self.fn)

    @property
    def land_iou(self) -> float | None:
        """Intersection over union of land, tn / (tn + fp + fn)."""
        return _ratio(self.tn, self.tn + self.fp + self.fn)

    @property
    def miou(self) -> float | None:
        """Mean of the IoU of water and land; None if either is undefined."""
        water, land = self.water_iou, self.land_iou
        return None if water is None or land is None else (water + land) / 2

    @property
    def f1(self) -> float | None:
        """F1 of water (equal to Dice), 2 tp / (2 tp + fp + fn)."""
        return _ratio(2 * self.tp, 2 * self.tp + self.fp + self.fn)

    @property
    def precision(self) -> float | None:
        """Share of the predicted water that is water."""
        return _ratio(self.tp, self.tp + self.fp)

    @property
    def recall(self) -> float | None:
        """Share of the water that is predicted."""
        return _ratio(self.tp, self.tp + self.fn)

    @property
    def accuracy(self) -> float | None:
        """Share of the counted pixels that are correct."""
        return _ratio(self.tp + self.tn, self.n)


def count(water: Pixels, label: Pixels, counted: Pixels) -> Counts:
    """Count the pixels of one or more chips.

    Args:
        water: prediction, (H, W) or (N, H, W) bool, True for water.
        label: the same shape, uint8, 0 land, 1 water, 255 ignored.
        counted: the same shape, bool; False where no requested sensor is valid.
    """
    water, label, counted = as_array(water), as_array(label), as_array(counted)
    keep = counted & (label != IGNORE)
    cells = np.bincount(2 * label[keep].astype(np.intp) + water[keep], minlength=4)
    assert cells.size == 4, "labels hold codes other than 0, 1 and 255"
    tn, fp, fn, tp = cells.tolist()
    return Counts(tp=tp, fp=fp, fn=fn, tn=tn)


class ReliabilityBins:
    """Predicted and observed water in 15 equal-width bins of the predicted probability.

    Bin k holds probabilities from k/15 to below (k+1)/15; the last bin also holds 1. The expected calibration error
    (Naeini et al. 2015; Guo et al. 2017, eq. 3) is that of the water probability.
    """

    def __init__(self) -> None:
        self.pixels: NDArray[np.int64] = np.zeros(RELIABILITY_BINS, np.int64)
        """(15,) counted pixels."""
        self.water: NDArray[np.int64] = np.zeros(RELIABILITY_BINS, np.int64)
        """(15,) counted pixels labelled water."""
        self.probability: NDArray[np.float64] = np.zeros(RELIABILITY_BINS, np.float64)
        """(15,) sum of the predicted probabilities."""

    def add(self, probability: Pixels, label: Pixels, counted: Pixels) -> None:
        """Add pixels: water probability 0..1, label (0, 1, 255 ignored) and bool mask, all of the same shape."""
        probability, label, counted = as_array(probability), as_array(label), as_array(counted)
        keep = counted & (label != IGNORE)
        p = probability[keep].astype(np.float64)
        index = np.minimum((p * RELIABILITY_BINS).astype(np.intp), RELIABILITY_BINS - 1)
        self.pixels += np.bincount(index, minlength=RELIABILITY_BINS)
        self.water += np.bincount(index[label[keep] == WATER], minlength=RELIABILITY_BINS)
        self.probability += np.bincount(index, p, RELIABILITY_BINS)

    def __add__(self, other: "ReliabilityBins") -> "ReliabilityBins":
        merged = ReliabilityBins()
        for name in ("pixels", "water", "probability"):
            setattr(merged, name, getattr(self, name) + getattr(other, name))
        return merged

    @property
    def ece(self) -> float | None:
        """Expected calibration error: mean gap between probability and share of water; None without pixels."""
        total = int(self.pixels.sum())
        return float(np.abs(self.probability - self.water).sum() / total) if total else None


@dataclass(frozen=True, slots=True)
class ChipScore:
    """Counts of one chip; ``reliability`` is None for methods without a probability."""

    name: str
    event: str
    counts: Counts
    reliability: ReliabilityBins | None = None


def _total(counts: Iterable[Counts]) -> Counts:
    return reduce(add, counts, Counts())


def _per_chip_mean(chips: Sequence[ChipScore]) -> float | None:
    """Return the mean water IoU of the chips with water in label or prediction."""
    values = [iou for chip in chips if (iou := chip.counts.water_iou) is not None]
    return float(np.mean(values)) if values else None


def resamples(chips: int, seed: int) -> NDArray[np.int64]:
    """Return the number of times that each bootstrap draw holds each chip, (draws, chips)."""
    draws: NDArray[np.int64] = np.random.default_rng(seed).multinomial(
        chips, np.full(chips, 1 / chips), size=BOOTSTRAP_DRAWS
    )
    return draws


def _bootstrap_ci95(chips: Sequence[ChipScore], seed: int) -> list[float] | None:
    """Return the percentile bootstrap interval of the global water IoU (Efron and Tibshirani 1993, chapter 13).

    Chips with counted pixels are resampled. Draws without water in label and prediction have no IoU and are left out.
    With water in fewer than two chips all draws have the same IoU, so there is no interval.
    Chips are sorted by name, so that the interval does not depend on the number of processes.
    """
    counted = sorted((chip for chip in chips if chip.counts.n), key=lambda chip: chip.name)
    intersections = np.array([chip.counts.tp for chip in counted], np.int64)
    unions = np.array([chip.counts.tp + chip.counts.fp + chip.counts.fn for chip in counted], np.int64)
    if np.count_nonzero(unions) < 2:
        return None
    draws = resamples(len(counted), seed)
    intersection, union = draws @ intersections, draws @ unions
    low, high = np.percentile(intersection[union > 0] / union[union > 0], [2.5, 97.5])
    return [float(low), float(high)]


def _ece(chips: Sequence[ChipScore]) -> float | None:
    """Return the calibration error over all chips; None unless all counted chips have probabilities."""
    counted = [chip.reliability for chip in chips if chip.counts.n]
    bins = [each for each in counted if each is not None]
    if not bins or len(bins) < len(counted):
        return None
    return reduce(add, bins).ece


def score_chips(chips: Sequence[ChipScore], seed: int = 0) -> Score:
    """Score a set of chips: counts are summed, then ratios computed.

    Returns n_chips, n_chips_counted (those with at least one counted pixel), n_pixels, water_iou, land_iou, miou, f1,
    precision, recall, accuracy, water_iou_per_chip_mean, water_iou_ci95 ([low, high], 1000 draws) and ece.
    """
    total = _total(chip.counts for chip in chips)
    return {
        "n_chips": len(chips),
        "n_chips_counted": sum(chip.counts.n > 0 for chip in chips),
        "n_pixels": total.n,
        "water_iou": total.water_iou,
        "land_iou": total.land_iou,
        "miou": total.miou,
        "f1": total.f1,
        "precision": total.precision,
        "recall": total.recall,
        "accuracy": total.accuracy,
        "water_iou_per_chip_mean": _per_chip_mean(chips),
        "water_iou_ci95": _bootstrap_ci95(chips, seed),
        "ece": _ece(chips),
    }


def score_events(chips: Sequence[ChipScore], seed: int = 0) -> dict[str, Score]:
    """Score each event separately, in alphabetical order: the value of the field ``events``."""
    return {
        event: score_chips([chip for chip in chips if chip.event == event], seed)
        for event in sorted({chip.event for chip in chips})
    }
