"""Names of regions that tell them apart, and notes on regions that are numbered, left out or cut."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from floodseg.analysis.exposure.vectors import Features, as_text
from floodseg.messages import percent

_SHOWN = 5
"""Names in a note."""
_COMPLETE = 0.999
"""Share of a region on the map from which on it counts as complete."""


class RegionNames:
    """Names of all regions of a file. A region without a name has its number in the file, from 1."""

    def __init__(self, regions: Features, column: str | None, values: NDArray[Any] | None) -> None:
        self._regions, self._column = regions, column
        texts = [""] * regions.count if values is None else [as_text(value) for value in values]
        self._unnamed = {number for number, text in enumerate(texts, start=1) if not text}
        self._names = [text or f"region {number}" for number, text in enumerate(texts, start=1)]

    def distinct(self, numbers: Sequence[int], taken: str) -> list[str]:
        """Return the names of regions by their numbers; the number follows a name that is ``taken`` or not unique."""
        names = [self._names[number - 1] for number in numbers]
        counts = Counter([taken, *names])
        return [f"{name} ({number})" if counts[name] > 1 else name for name, number in zip(names, numbers, strict=True)]

    def notes(self, shares: Mapping[int, float], usable: NDArray[np.bool_], taken: str) -> tuple[str, ...]:
        """Return a sentence on each thing that a reader of the figures by region has to know.

        Args:
            shares: share of the area on the map, by the place in the file (from 0), of the regions on the map.
            usable: (N,), the features that have a polygon.
            taken: name that no region may have.
        """
        numbers = [place + 1 for place in shares]
        names = dict(zip(numbers, self.distinct(numbers, taken), strict=True))
        unnamed = [names[each] for each in numbers if each in self._unnamed]
        changed = [name for number, name in names.items() if name != self._names[number - 1]]
        outside = [name for place, name in enumerate(self._names) if usable[place] and place not in shares]
        cut = [
            f"{names[place + 1]}: {percent(share)} of its area" for place, share in shares.items() if share < _COMPLETE
        ]
        of_file = f"{int(usable.sum())} regions"
        of_map = f"{len(shares)} regions on the map" if outside else of_file
        empty = [name for place, name in enumerate(self._names) if not usable[place]]
        found = [
            *([self._numbered()] if self._column is None else _note(
                unnamed, of_map, "has no name and is numbered by its place in the file",
                "have no name and are numbered by their place in the file")),
            *_note(changed, of_map, f"has the name {taken}, or that of another; the number in the file follows it",
                   f"have the name of another, or the name {taken}; the number in the file follows it"),
            *_note(outside, of_file, "does not overlap the map", "do not overlap the map"),
            *_note(empty, f"{len(self._names)} features", "has no polygon and is left out",
                   "have no polygon and are left out"),
            *_note(cut, of_map, "reaches beyond the map; its figures are for the part on the map",
                   "reach beyond the map; their figures are for the part on the map"),
        ]  # fmt: skip
        return tuple(f"{self._regions.layer.label}: {note}" for note in found)

    def _numbered(self) -> str:
        texts = self._regions.texts
        advice = f"; set `region_name` to an attribute with their names (it has {', '.join(texts)})" if texts else ""
        return f"has no attribute name, so regions are numbered by their place in the file{advice}"


def _note(names: Sequence[str], total: str, one: str, more: str) -> Iterable[str]:
    """Yield a note with the number of regions and a few of their names, if there are any."""
    if names:
        rest = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
        shown = ", ".join(names[:_SHOWN])
        yield f"{len(names)} of {total} {one if len(names) == 1 else more} ({shown}{rest})"
