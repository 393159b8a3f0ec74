"""Decisions: a temperature and a threshold, which turn logits into calibrated probabilities and water masks.

The confidence of a model of both sensors depends on the sensors that are valid at a pixel. Each set of valid sensors
has its own threshold and temperature.
"""

import math
import reprlib
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from floodseg.bands import OPTICAL_VALID, SENSOR_SETS, VALIDITY_CODES, SensorSet
from floodseg.errors import CheckpointError

if TYPE_CHECKING:  # reading decisions needs no PyTorch
    from torch import Tensor

_MIN_THRESHOLD = 1e-3
"""Thresholds are clipped to 0.001..0.999 before their log-odds are computed, which are infinite at 0 and 1."""


@dataclass(frozen=True, slots=True)
class Decision:
    """Threshold and temperature of a model for one sensor set.

    A pixel is water if ``sigmoid(logit_difference / temperature) >= threshold``.
    """

    threshold: float = 0.5
    temperature: float = 1.0


@dataclass(frozen=True, slots=True)
class Decisions:
    """Threshold and temperature (:class:`Decision`) of a model for each set of valid sensors."""

    sar: Decision = field(default_factory=Decision)
    optical: Decision = field(default_factory=Decision)
    both: Decision = field(default_factory=Decision)

    def of(self, sensors: SensorSet) -> Decision:
        """Return the decision for one sensor set."""
        decision: Decision = getattr(self, sensors)
        return decision

    def with_decision(self, sensors: SensorSet, decision: Decision) -> "Decisions":
        """Return a copy with another decision for one sensor set."""
        return replace(self, **{sensors: decision})

    def with_threshold(self, threshold: float) -> "Decisions":
        """Return a copy with the same threshold for all sensor sets. The temperatures do not change."""
        return Decisions(**{name: replace(self.of(name), threshold=threshold) for name in SENSOR_SETS})

    @property
    def sar_logit_offset(self) -> float:
        """Offset to add to the logit difference of a radar model, before a decision for both sensors.

        ``difference + offset`` reaches the threshold for both sensors exactly if ``difference`` reaches the threshold
        for radar.
        """
        return _difference_at_threshold(self.both) - _difference_at_threshold(self.sar)

    def to_json(self) -> dict[str, dict[str, float]]:
        """Return the decisions as plain JSON values."""
        return asdict(self)

    @staticmethod
    def from_json(document: Any) -> "Decisions":
        """Return the decisions of a document from :meth:`to_json`.

        Raises:
            CheckpointError: a sensor set or a number is missing, or a number is out of range.
        """
        try:
            decisions = Decisions(
                **{
                    name: Decision(float(document[name]["threshold"]), float(document[name]["temperature"]))
                    for name in SENSOR_SETS
                }
            )
            for name in SENSOR_SETS:
                decision = decisions.of(name)
                if not (0 <= decision.threshold <= 1 and 0 < decision.temperature < math.inf):
                    raise ValueError(name)
            return decisions
        except (KeyError, TypeError, ValueError) as error:
            raise CheckpointError(
                f"decision thresholds {reprlib.repr(document)}: must hold a threshold from 0 to 1 and a temperature "
                f"above 0 for each of {', '.join(SENSOR_SETS)}; use a checkpoint that floodseg wrote"
            ) from error

    def by_validity_code(self, name: Literal["threshold", "temperature"]) -> list[float]:
        """Return one number for each validity code.

        Code 0 (no valid sensor) has the value of 'both', which is never used.
        """
        values: list[float] = [getattr(self.both, name)] * 4
        for sensors, code in VALIDITY_CODES.items():
            values[code] = getattr(self.of(sensors), name)
        return values

    def probability(self, logits: "Tensor", sar_valid: "Tensor", optical_valid: "Tensor") -> "Tensor":
        """Return the calibrated water probability (N, H, W) float32 in 0..1.

        Args:
            logits: (N, 2, H, W) for land and water.
            sar_valid: (N, 1, H, W) bool.
            optical_valid: (N, 1, H, W) bool.
        """
        difference = logit_difference(logits)
        temperatures = difference.new_tensor(self.by_validity_code("temperature"))
        return (difference / temperatures[validity_code(sar_valid, optical_valid)]).sigmoid()

    def water(self, probability: "Tensor", sar_valid: "Tensor", optical_valid: "Tensor") -> "Tensor":
        """Return True where the probability (N, H, W) reaches the threshold for the valid sensors."""
        thresholds = probability.new_tensor(self.by_validity_code("threshold"))
        return probability >= thresholds[validity_code(sar_valid, optical_valid)]


def _difference_at_threshold(decision: Decision) -> float:
    """Return the logit difference whose calibrated probability is the threshold."""
    threshold = min(max(decision.threshold, _MIN_THRESHOLD), 1 - _MIN_THRESHOLD)
    return decision.temperature * math.log(threshold / (1 - threshold))


def logit_difference(logits: "Tensor") -> "Tensor":
    """Return the water logit minus the land logit, (N, H, W) float32, from logits (N, 2, H, W)."""
    logits = logits.float()
    return logits[:, 1] - logits[:, 0]


def validity_code(sar_valid: "Tensor", optical_valid: "Tensor") -> "Tensor":
    """Return 0 (none), 1 (radar), 2 (optical) or 3 (both) per pixel: (N, H, W) int64 from two masks (N, 1, H, W)."""
    return (sar_valid.long() + OPTICAL_VALID * optical_valid.long())[:, 0]
