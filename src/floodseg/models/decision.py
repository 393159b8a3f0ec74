"""Decisions: thresholds and temperatures that turn logits into calibrated probability and water.

The confidence of a model of both sensors differs between pixels where one sensor is valid and pixels where both are, so
there is one threshold and one temperature for each set of valid sensors.
"""

import math
import reprlib
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from floodseg.bands import SENSOR_SETS, SensorSet
from floodseg.errors import CheckpointError

if TYPE_CHECKING:  # decisions are read and compared without PyTorch, too
    from torch import Tensor

VALIDITY_CODES: dict[SensorSet, int] = {"sar": 1, "optical": 2, "both": 3}
"""The code of each sensor set in :func:`validity_code`; 0 is nothing valid."""

_LEAST_THRESHOLD = 1e-3
"""Bound of the thresholds whose logit is computed: that of 0 is infinite."""


@dataclass(frozen=True, slots=True)
class Decision:
    """Water where ``sigmoid(difference / temperature) >= threshold``, with the water logit less the land logit."""

    threshold: float = 0.5
    temperature: float = 1.0


@dataclass(frozen=True, slots=True)
class Decisions:
    """The decision for each set of valid sensors."""

    sar: Decision = field(default_factory=Decision)
    optical: Decision = field(default_factory=Decision)
    both: Decision = field(default_factory=Decision)

    def of(self, sensors: SensorSet) -> Decision:
        """Return the decision of one sensor set."""
        decision: Decision = getattr(self, sensors)
        return decision

    def with_decision(self, sensors: SensorSet, decision: Decision) -> "Decisions":
        """Return a copy in which one sensor set has another decision."""
        return replace(self, **{sensors: decision})

    def with_threshold(self, threshold: float) -> "Decisions":
        """Return a copy with one threshold for all sensor sets; temperatures stay."""
        return Decisions(**{name: replace(self.of(name), threshold=threshold) for name in SENSOR_SETS})

    @property
    def sar_logit_offset(self) -> float:
        """Offset of SAR's calibrated logit difference at which the decision for both equals the decision for SAR."""
        sar, both = (_least_difference(self.of(name)) for name in ("sar", "both"))
        return both - sar

    def to_json(self) -> dict[str, dict[str, float]]:
        """Return plain values for a checkpoint."""
        return asdict(self)

    @staticmethod
    def from_json(document: Any) -> "Decisions":
        """Read what :meth:`to_json` wrote.

        Raises:
            CheckpointError: a sensor set or a number is missing.
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
                f"decision thresholds {reprlib.repr(document)}: must hold threshold and temperature for "
                f"{', '.join(SENSOR_SETS)}, the one from 0 to 1 and the other above 0; save the checkpoint again "
                "with this version"
            ) from error

    def by_validity_code(self, name: Literal["threshold", "temperature"]) -> list[float]:
        """Return the four numbers by validity code; code 0 (nothing valid) has those of 'both' and is never counted."""
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
        difference = margin(logits)
        temperature = difference.new_tensor(self.by_validity_code("temperature"))[validity_code(sar_valid, optical_valid)]
        return (difference / temperature).sigmoid()

    def water(self, probability: "Tensor", sar_valid: "Tensor", optical_valid: "Tensor") -> "Tensor":
        """Return True where the probability (N, H, W) reaches the threshold of what is valid there."""
        thresholds = probability.new_tensor(self.by_validity_code("threshold"))
        return probability >= thresholds[validity_code(sar_valid, optical_valid)]


def _least_difference(decision: Decision) -> float:
    """Return the least logit difference that is water."""
    threshold = min(max(decision.threshold, _LEAST_THRESHOLD), 1 - _LEAST_THRESHOLD)
    return decision.temperature * math.log(threshold / (1 - threshold))


def margin(logits: "Tensor") -> "Tensor":
    """Return the water logit less the land logit, (N, H, W) float32, from logits (N, 2, H, W)."""
    logits = logits.float()
    return logits[:, 1] - logits[:, 0]


def validity_code(sar_valid: "Tensor", optical_valid: "Tensor") -> "Tensor":
    """Return 0 (none), 1 (radar), 2 (optical) or 3 (both) for each pixel: (N, H, W) int64 from two (N, 1, H, W)."""
    return (sar_valid.long() + 2 * optical_valid.long())[:, 0]
