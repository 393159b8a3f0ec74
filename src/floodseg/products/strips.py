"""What mapping hands on: finished rows of the map, top to bottom, each pixel once."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

LAND = 0
FLOOD = 1
PERMANENT_WATER = 2
EXCLUDED = 3
NODATA = 255
"""Codes of ``flood.tif``; ``FLOOD`` is open water where no layer of permanent water was given."""

CLASS_NAMES = {LAND: "land", FLOOD: "flood", PERMANENT_WATER: "permanent water", EXCLUDED: "excluded", NODATA: "nodata"}

PERCENT_NODATA = 255
"""Nodata of ``water_probability.tif``, whose numbers are percent from 0 to 100."""


@dataclass(frozen=True, slots=True)
class ProbabilityStrip:
    """Blended water probability of H full rows of a scene of W columns, from row ``top`` on."""

    top: int
    probability: NDArray[np.float32]
    """(H, W), calibrated, 0 to 1; meaningless where ``validity`` is 0."""
    validity: NDArray[np.uint8]
    """(H, W): 0 nothing valid, 1 radar, 2 optical, 3 both (``floodseg.models.decision.VALIDITY_CODES``)."""


@dataclass(frozen=True, slots=True)
class ProductStrip:
    """H full rows of the products, from row ``top`` on."""

    top: int
    percent: NDArray[np.uint8]
    """(H, W), 0 to 100, 255 nodata."""
    classes: NDArray[np.uint8]
    """(H, W), the codes above."""
