"""Threshold and temperature of a model, chosen on histograms of its logit difference.

The difference d is ``logit_water - logit_land``. The water probability at temperature T is ``sigmoid(d / T)``.
Histograms are summed over batches and processes, so that no map of logits is stored.
"""

import math

import numpy as np
from numpy.typing import NDArray

from floodseg.bands import IGNORE, WATER
from floodseg.errors import FloodsegError
from floodseg.evaluation.metrics.counts import RELIABILITY_BINS, Counts, Pixels, ReliabilityBins, as_array

LIMIT = 20
BINS_PER_UNIT = 100
N_BINS = 2 * LIMIT * BINS_PER_UNIT
TEMPERATURE_RANGE = (0.05, 20.0)

_TAIL = 1e-4
"""Least distance of a threshold from 0 and 1; closer to them float32 does not resolve neighbouring bins."""

_INNER_EDGES = ((np.arange(1, N_BINS, dtype=np.float64) - N_BINS // 2) / BINS_PER_UNIT).astype(np.float32)
"""(N_BINS - 1,): edges between bins, in float32 like logit differences and probabilities."""

_EDGES: NDArray[np.float64] = _INNER_EDGES.astype(np.float64)
_CENTRES: NDArray[np.float64] = (np.arange(N_BINS) + 0.5) / BINS_PER_UNIT - LIMIT


class LogitDifferenceHistogram:
    """Histograms of the logit difference of water pixels and of land pixels: 4000 bins of 0.01 from -20 to 20.

    A bin includes its lower edge. The end bins include all values beyond them.
    """

    def __init__(self, bins: NDArray[np.int64] | None = None) -> None:
        self.bins: NDArray[np.int64] = np.zeros((2, N_BINS), np.int64) if bins is None else bins
        """(2, 4000) numbers of land and water pixels."""

    def add(self, difference: Pixels, label: Pixels, counted: Pixels) -> None:
        """Add pixels.

        Args:
            difference: (H, W) or (N, H, W) float, water logit less land logit.
            label: the same shape, uint8, 0 land, 1 water, 255 ignored.
            counted: the same shape, bool; False leaves a pixel out.

        Raises:
            FloodsegError: the logit difference of a counted pixel is NaN.
        """
        difference, label, counted = as_array(difference), as_array(label), as_array(counted)
        keep = counted & (label != IGNORE)
        values = difference[keep].astype(np.float32)
        if np.isnan(values).any():
            raise FloodsegError(
                "the model returns NaN at valid pixels, which cannot be scored; train it again with a lower `lr` or "
                "with `precision=fp32`"
            )
        index = np.searchsorted(_INNER_EDGES, values, side="right")
        self.bins += np.bincount(index + N_BINS * (label[keep] == WATER), minlength=2 * N_BINS).reshape(2, N_BINS)

    def __add__(self, other: "LogitDifferenceHistogram") -> "LogitDifferenceHistogram":
        return LogitDifferenceHistogram(self.bins + other.bins)

    def __sub__(self, other: "LogitDifferenceHistogram") -> "LogitDifferenceHistogram":
        return LogitDifferenceHistogram(self.bins - other.bins)

    @property
    def land(self) -> NDArray[np.int64]:
        """(4000,) land pixels."""
        land: NDArray[np.int64] = self.bins[0]
        return land

    @property
    def water(self) -> NDArray[np.int64]:
        """(4000,) water pixels."""
        water: NDArray[np.int64] = self.bins[1]
        return water

    def _one_sided(self) -> bool:
        return not self.land.any() or not self.water.any()

    def counts_at(self, threshold: float, temperature: float = 1.0) -> Counts:
        """Return the counts if water is ``sigmoid(difference / temperature) >= threshold``, at the nearest bin edge."""
        if not 0 < threshold < 1:
            first_water = 0 if threshold <= 0 else N_BINS
        else:
            edge = temperature * (math.log(threshold) - math.log1p(-threshold))
            first_water = min(max(round((edge + LIMIT) * BINS_PER_UNIT), 0), N_BINS)
        tp, fp = int(self.water[first_water:].sum()), int(self.land[first_water:].sum())
        return Counts(tp=tp, fp=fp, fn=int(self.water.sum()) - tp, tn=int(self.land.sum()) - fp)

    def best_threshold(self, temperature: float = 1.0) -> tuple[float, float | None]:
        """Return the probability threshold with the best water IoU, and this IoU.

        The candidates are all bin edges with a probability between 0.0001 and 0.9999. Among equally good edges the
        middle of their longest run is chosen, and among equally long runs the one nearest to 0.5. A logit difference at
        the chosen edge is water. Without water pixels or without land pixels the threshold is 0.5.
        """
        if self._one_sided():
            return 0.5, self.counts_at(0.5, temperature).water_iou
        candidates = np.abs(_EDGES) <= temperature * (math.log1p(-_TAIL) - math.log(_TAIL))
        edges = _EDGES[candidates]
        tp = self.water[::-1].cumsum()[::-1][1:][candidates]
        fp = self.land[::-1].cumsum()[::-1][1:][candidates]
        iou = tp / (int(self.water.sum()) + fp)
        edge = float(edges[_middle_of_best(iou, edges)])
        return _probability_of(edge, temperature), float(iou.max())

    def nll(self, temperature: float, offset: float = 0.0) -> float | None:
        """Return the mean negative log likelihood per pixel in nats; None without pixels.

        The water probability is ``sigmoid((difference + offset) / temperature)``.
        """
        total = int(self.bins.sum())
        if not total:
            return None
        scaled = (_CENTRES + offset) / temperature
        loss = self.water @ np.logaddexp(0, -scaled) + self.land @ np.logaddexp(0, scaled)
        return float(loss / total)

    def reliability(self, temperature: float) -> ReliabilityBins:
        """Return predicted and observed water at ``temperature``, with logit differences at their bin centres."""
        probability = 1 / (1 + np.exp(-_CENTRES / temperature))
        index = np.minimum((probability * RELIABILITY_BINS).astype(int), RELIABILITY_BINS - 1)
        pixels = self.land + self.water
        bins = ReliabilityBins()
        # integers below 2**53 are exact as weights
        for name, weights in (("pixels", pixels), ("water", self.water)):
            setattr(bins, name, np.bincount(index, weights, RELIABILITY_BINS).astype(np.int64))
        bins.probability = np.bincount(index, pixels * probability, RELIABILITY_BINS).astype(np.float64)
        return bins

    def fit_temperature(self) -> float:
        """Return the temperature from 0.05 to 20 with the lowest negative log likelihood.

        Temperature scaling follows Guo et al. 2017, section 4.2. The negative log likelihood has one minimum in log T,
        found by golden-section search. Logit differences beyond 20 count as 20. Without water pixels or without land
        pixels there is no minimum inside the range, and the temperature is 1.
        """
        if self._one_sided():
            return 1.0
        golden_ratio = (math.sqrt(5) - 1) / 2
        low, high = (math.log(end) for end in TEMPERATURE_RANGE)
        while high - low > 1e-4:
            left, right = high - golden_ratio * (high - low), low + golden_ratio * (high - low)
            if self._loss(left) < self._loss(right):
                high = right
            else:
                low = left
        return math.exp((low + high) / 2)

    def fit_offset(self) -> float:
        """Return the offset of the logit difference with the lowest negative log likelihood at its best temperature.

        Offset and temperature are fitted together (Platt 1999, "Probabilistic outputs for support vector machines").
        Without water pixels or without land pixels the offset is 0.
        """
        from scipy.optimize import minimize  # imported only where an offset is fitted

        if self._one_sided():
            return 0.0
        best = minimize(lambda fit: self._loss(fit[0], fit[1]), (0.0, 0.0), method="Nelder-Mead")
        return float(best.x[1])

    def _loss(self, log_temperature: float, offset: float = 0.0) -> float:
        loss = self.nll(math.exp(log_temperature), offset)
        assert loss is not None
        return loss


def _middle_of_best(score: NDArray[np.float64], edges: NDArray[np.float64]) -> int:
    """Return the middle index of the longest run of best scores; among equal runs of the one nearest to edge 0."""
    best = np.flatnonzero(score == score.max())
    runs = np.split(best, np.flatnonzero(np.diff(best) > 1) + 1)
    longest = max(len(run) for run in runs)
    middles = [int(run[len(run) // 2]) for run in runs if len(run) == longest]
    return min(middles, key=lambda index: abs(float(edges[index])))


def _probability_of(edge: float, temperature: float) -> float:
    """Return ``sigmoid(edge / temperature)``, lowered by two float32 steps.

    Implementations of the logistic function differ in the last digit. A logit difference at the edge must be water in
    all of them.
    """
    scaled = np.float32(edge) / np.float32(temperature)
    probability = np.float32(1) / (np.float32(1) + np.exp(-scaled))
    for _ in range(2):
        probability = np.nextafter(probability, np.float32(0))
    return float(probability)
