"""Figures of each item by zone: total in the area, affected, and not seen."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from floodseg.analysis.exposure.observed import DRY, FLOODED, NOT_SEEN


@dataclass(frozen=True, slots=True)
class Figure:
    """One quantity in one zone."""

    total: float
    """In the area."""
    affected: float
    """In the mapped flood."""
    not_seen: float
    """Where the map is excluded or nodata. Of things that are counted whole: in part not seen, and not affected."""
    not_affected: float
    """On land and permanent water."""
    by_depth: tuple[float, ...] = ()
    """The affected quantity by class of depth, and of unknown depth; empty without depths."""

    @property
    def upper(self) -> float:
        """In the mapped flood, or not seen."""
        return self.affected + self.not_seen


@dataclass(frozen=True, slots=True)
class Item:
    """A quantity with its figures in all zones."""

    layer: str
    """Setting of the layer: population, buildings, roads or landcover."""
    name: str
    """Name in tables, such as ``population`` or ``roads: primary``."""
    unit: str
    """persons, number, ha or km."""
    figures: tuple[Figure, ...]
    """One for each zone, that of the totals first."""


@dataclass(frozen=True, slots=True)
class LayerResult:
    """Items of one layer, and what is to be known about it."""

    items: tuple[Item, ...]
    notes: tuple[str, ...] = ()
    """Sentences about the layer, for the user."""
    facts: dict[str, object] = field(default_factory=dict)
    """Entries of the layer in exposure.json."""


def make_figures(totals: NDArray[np.float64], parts: NDArray[np.float64]) -> tuple[Figure, ...]:
    """Return the figures of all zones.

    Args:
        totals: (zones,).
        parts: (zones, codes), by the codes of ``ObservedMap``.
    """
    flooded = parts[:, FLOODED:]
    with_depth = flooded.shape[1] > 1
    return tuple(
        Figure(float(total), float(depths.sum()), float(part[NOT_SEEN]), float(part[DRY]),
               (*depths[1:].tolist(), float(depths[0])) if with_depth else ())
        for total, part, depths in zip(totals, parts, flooded, strict=True)
    )  # fmt: skip
