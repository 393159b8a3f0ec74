"""Two runtimes, one for each sensor, whose calibrated log-odds are fused where both images are valid."""

import numpy as np
from numpy.typing import NDArray

from floodseg.bands import OPTICAL_VALID, SAR_VALID, Bands
from floodseg.models.decision import Decision
from floodseg.models.log_odds_fusion import LogOddsFusion
from floodseg.runtimes.base import Mask, Runtime, Values, deciding_sensors

_MIN_PROBABILITY = 1e-7
"""Probabilities are clipped to 1e-7 and 1 - 1e-7, since the log-odds of 0 and 1 are infinite."""


class FusedRuntime:
    """A radar runtime and an optical runtime (``floodseg.runtimes.base.Runtime``).

    ::

        radar runtime ───┬──────────────────────── radar decides
                         ├─ sum of log-odds ────── both decide
        optical runtime ─┴──────────────────────── the optical image decides

    A pixel that one sensor decides has exactly the probability of the runtime of that sensor. A runtime is not called
    for images in which it decides no pixel.

    Args:
        sar: runtime that takes only radar bands.
        optical: runtime that takes only optical bands.
        fusion: weights of their calibrated log-odds, and the optical margin.
        decision: temperature of the fused log-odds, and smallest fused probability that counts as water.
    """

    def __init__(self, sar: Runtime, optical: Runtime, fusion: LogOddsFusion, decision: Decision) -> None:
        self._sar, self._optical, self._fusion, self._temperature = sar, optical, fusion, decision.temperature
        self.name, self.device, self.precision = (
            " and ".join(dict.fromkeys((getattr(sar, name), getattr(optical, name))))
            for name in ("name", "device", "precision")
        )
        self.bands = Bands(sar.bands.sar, optical.bands.optical, sar.bands.sar_unit, optical.bands.optical_unit)
        # by validity code: none, radar, optical, both
        both = decision.threshold
        self.thresholds = (both, sar.thresholds[SAR_VALID], optical.thresholds[OPTICAL_VALID], both)
        self.finds_clouds = False
        self.optical_margin = fusion.optical_margin
        self.overlap = max(sar.overlap, optical.overlap, fusion.overlap)
        self.concurrency = min(sar.concurrency, optical.concurrency)

    def batch_size(self, height: int, width: int) -> int:
        """Return the smaller batch size of the two runtimes."""
        return min(self._sar.batch_size(height, width), self._optical.batch_size(height, width))

    def probability(self, sar: Values, optical: Values, sar_valid: Mask, optical_valid: Mask) -> Values:
        """Return the calibrated water probability, see ``Runtime.probability``."""
        deciding = deciding_sensors(sar_valid, optical_valid, self.optical_margin)
        no_pixel = np.zeros_like(sar_valid)
        by_sar = by_optical = np.zeros(sar_valid.shape, np.float32)
        if (deciding & SAR_VALID).any():
            by_sar = self._sar.probability(sar, optical[:, :0], sar_valid, no_pixel)
        if (deciding & OPTICAL_VALID).any():
            by_optical = self._optical.probability(sar[:, :0], optical, no_pixel, optical_valid)
        result = np.where(deciding == OPTICAL_VALID, by_optical, by_sar)
        both = deciding == SAR_VALID + OPTICAL_VALID
        fused = self._fusion.combine(_log_odds(by_sar[both]), _log_odds(by_optical[both]))
        result[both] = 1 / (1 + np.exp(-fused / self._temperature))
        return result


def _log_odds(probability: NDArray[np.float32]) -> NDArray[np.float64]:
    clipped = probability.astype(np.float64).clip(_MIN_PROBABILITY, 1 - _MIN_PROBABILITY)
    log_odds: NDArray[np.float64] = np.log(clipped) - np.log1p(-clipped)
    return log_odds
