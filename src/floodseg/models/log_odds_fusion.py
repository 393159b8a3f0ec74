"""Fusion of a radar and an optical model by a weighted sum of their log-odds.

With weights 1 and a bias that removes the prior, the sum is the posterior of two sensors whose errors are independent
(naive Bayes). Other weights express that one model is more accurate than the other.
"""

import math
import reprlib
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from floodseg.errors import CheckpointError
from floodseg.geo.tiling import BLEND_WIDTH

if TYPE_CHECKING:  # mapping with exported models needs no PyTorch
    from torch import Tensor

_OVERLAP_STEP = 64

Array = TypeVar("Array", NDArray[np.floating[Any]], "Tensor")


@dataclass(frozen=True, slots=True)
class LogOddsFusion:
    """Weighted sum of the calibrated log-odds of water from a radar model and an optical model.

    Attributes:
        sar_weight: weight of the radar log-odds, 0 or more.
        optical_weight: weight of the optical log-odds, 0 or more.
        bias: constant term.
        optical_margin: distance in pixels within which an invalid optical pixel affects the optical model, the radius
            of its receptive field. Pixels up to this many rows and columns from a pixel that only radar sees are not
            fused.
    """

    sar_weight: float = 1.0
    optical_weight: float = 1.0
    bias: float = 0.0
    optical_margin: int = 0

    @property
    def overlap(self) -> int:
        """Overlap of windows, in pixels, with which both hold all pixels within the margin of those where they blend.

        It is 0 without a margin, else a multiple of 64.
        """
        smallest = 2 * self.optical_margin + BLEND_WIDTH if self.optical_margin else 0
        return -(-smallest // _OVERLAP_STEP) * _OVERLAP_STEP

    def combine(self, sar_log_odds: Array, optical_log_odds: Array) -> Array:
        """Return the log-odds of water with both sensors.

        Args:
            sar_log_odds: calibrated log-odds of the radar model, the logit difference (water minus land) divided by the
                temperature; NumPy array or tensor of any shape.
            optical_log_odds: the same of the optical model.
        """
        return self.sar_weight * sar_log_odds + self.optical_weight * optical_log_odds + self.bias

    def to_json(self) -> dict[str, float]:
        """Return the parameters as plain JSON values."""
        return asdict(self)

    @staticmethod
    def from_json(document: Any) -> "LogOddsFusion":
        """Return the fusion of a document from :meth:`to_json`.

        Raises:
            CheckpointError: a number is missing or out of range.
        """
        try:
            sar, optical = float(document["sar_weight"]), float(document["optical_weight"])
            bias, margin = float(document["bias"]), int(document["optical_margin"])
            if not (0 <= sar < math.inf and 0 <= optical < math.inf and math.isfinite(bias) and margin >= 0):
                raise ValueError(document)
            return LogOddsFusion(sar, optical, bias, margin)
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise CheckpointError(
                f"fusion {reprlib.repr(document)}: must hold `sar_weight` and `optical_weight` of 0 or more, `bias`, "
                "and `optical_margin` in pixels; use a model that floodseg wrote"
            ) from error
