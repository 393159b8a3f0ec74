"""Whether one map is better than another on the same chips: paired differences with their intervals."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from floodseg.evaluation.metrics.counts import Counts, resamples


@dataclass(frozen=True, slots=True)
class Pair:
    """The counts of two maps of one chip, over the same pixels: those that both of them decide."""

    name: str
    first: Counts
    second: Counts


@dataclass(frozen=True, slots=True)
class Difference:
    """Global water IoU of the first maps less that of the second."""

    difference: float
    ci95: list[float]
    """Low and high end of the percentile bootstrap over chips, 1000 draws, both maps on the same draw."""
    n_chips: int
    """Chips with a pixel that counts."""
    n_pixels: int

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)


def paired_difference(pairs: Sequence[Pair], seed: int = 0) -> Difference | None:
    """Compare two maps of the same chips (paired bootstrap: Efron and Tibshirani 1993, chapter 13).

    Chips are resampled, and both maps are scored on each draw: what makes a chip hard for both cancels. Draws without
    water in label or prediction of one of them are left out.

    Returns:
        None where the IoU of one of them is undefined over all chips.
    """
    chosen = sorted((pair for pair in pairs if pair.first.n), key=lambda pair: pair.name)
    first, second = ([getattr(pair, each) for pair in chosen] for each in ("first", "second"))
    totals = sum(first, start=Counts()), sum(second, start=Counts())
    if totals[0].water_iou is None or totals[1].water_iou is None:
        return None
    times = resamples(len(chosen), seed)
    hits, unions = zip(*(_drawn(times, counts) for counts in (first, second)), strict=True)
    defined = (unions[0] > 0) & (unions[1] > 0)
    differences = hits[0][defined] / unions[0][defined] - hits[1][defined] / unions[1][defined]
    low, high = np.percentile(differences, [2.5, 97.5])
    return Difference(totals[0].water_iou - totals[1].water_iou, [float(low), float(high)], len(chosen), totals[0].n)


def _drawn(times: NDArray[np.int64], counts: Sequence[Counts]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return intersection and union of each draw, both (draws,)."""
    hits = np.array([each.tp for each in counts], np.int64)
    unions = np.array([each.tp + each.fp + each.fn for each in counts], np.int64)
    return times @ hits, times @ unions
