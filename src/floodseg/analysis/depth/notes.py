"""Notes of ``summary.json``: what was assumed, and what limits the depths."""

from collections.abc import Mapping
from typing import Any

from floodseg.config.depth import DepthOptions
from floodseg.messages import percent

_KINDS = {
    "unknown": "the kind of elevation model is unknown; a surface model includes trees and buildings, where depths are "
    "too small; set `dem_kind`",
    "surface": "the elevation model is a surface model: it includes trees and buildings, where depths are too small",
}
_MANY = 0.1
"""Share of the flood from which a note is written."""


def depth_notes(dem: str, options: DepthOptions, entries: Mapping[str, Any]) -> list[str]:
    """Return the notes on the depths of a map, one sentence each; ``entries`` are those of ``summary.json``."""
    notes = []
    if options.dem_kind in _KINDS:
        notes.append(f"`dem={dem}`: {_KINDS[options.dem_kind]}")
    if options.vertical_datum == "unknown":
        notes.append(
            f"`dem={dem}`: its vertical datum is unknown; depths do not depend on it, but water levels do; set "
            "`vertical_datum`"
        )
    above = entries["ground_above_level_share"]
    if above is not None and above > _MANY:
        notes.append(
            f"{percent(above)} of the flooded cells with a depth are higher than the water level, and get the depth 0; "
            "the elevation model may be coarse, include trees, or be older than an embankment"
        )
    missing = entries["cells"]["without_height"] / max(entries["cells"]["flood"], 1)
    if missing > 0:
        notes.append(f"`dem={dem}`: has no height at {percent(missing)} of the flood, which gets no depth")
    if not entries["cells"]["permanent_water"]:
        notes.append(
            "the map has no permanent water; where the flood includes rivers and lakes, their depth is that above the "
            "water surface in the elevation model"
        )
    return notes
