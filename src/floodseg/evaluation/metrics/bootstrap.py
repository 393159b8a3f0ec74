"""Paired comparison of two maps of the same chips, with confidence intervals."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from floodseg.evaluation.metrics.counts import Counts, resamples


@dataclass(frozen=True, slots=True)
class Pair:
    """Counts of two maps of one chip, over the same pixels."""

    name: str
    first: Counts
    second: Counts


@dataclass(frozen=True, slots=True)
class Difference:
    """Global water IoU of the first maps less that of the second maps."""

    difference: float
    ci95: list[float]
    """Lower and upper bound of the percentile bootstrap over chips; 1000 draws, each with both maps."""
    n_chips: int
    """Chips with at least one counted pixel."""
    n_pixels: int

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)


def paired_difference(pairs: Sequence[Pair], seed: int = 0) -> Difference | None:
    """Compare two maps of the same chips (paired bootstrap: Efron and Tibshirani 1993, chapter 13).

    Chips are resampled, and both maps are scored on each draw. The difficulty of a chip affects both maps and cancels.
    Draws in which one map has an undefined IoU are left out.

    Returns:
        The difference; None if the IoU of one map is undefined over all chips.
    """
    chosen = sorted((pair for pair in pairs if pair.first.n), key=lambda pair: pair.name)
    first, second = ([getattr(pair, each) for pair in chosen] for each in ("first", "second"))
    totals = sum(first, start=Counts()), sum(second, start=Counts())
    if totals[0].water_iou is None or totals[1].water_iou is None:
        return None
    draws = resamples(len(chosen), seed)
    intersections, unions = zip(*(_intersections_and_unions(draws, counts) for counts in (first, second)), strict=True)
    defined = (unions[0] > 0) & (unions[1] > 0)
    ious = [part[defined] / union[defined] for part, union in zip(intersections, unions, strict=True)]
    low, high = np.percentile(ious[0] - ious[1], [2.5, 97.5])
    return Difference(totals[0].water_iou - totals[1].water_iou, [float(low), float(high)], len(chosen), totals[0].n)


def _intersections_and_unions(
    draws: NDArray[np.int64], counts: Sequence[Counts]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the intersection and the union of water in each draw, both (draws,)."""
    intersections = np.array([each.tp for each in counts], np.int64)
    unions = np.array([each.tp + each.fp + each.fn for each in counts], np.int64)
    return draws @ intersections, draws @ unions
