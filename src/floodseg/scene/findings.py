"""Counts of the pixels that need a note: impossible values, undeclared fillers, and polarisations without signal."""

import threading
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from floodseg.classical import FLOOR_DB
from floodseg.raster.physical import Reading


@dataclass
class _Counts:
    pixels: int = 0
    impossible: int = 0
    fillers: Counter[float] = field(default_factory=Counter)
    image_pixels: int = 0
    without_signal: int = 0


class Findings:
    """Thread-safe counts by file and image. Windows may overlap, so notes give shares of the pixels that were read."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: defaultdict[str, _Counts] = defaultdict(_Counts)
        self._lacks_signal = False

    def add(self, name: str, reading: Reading) -> None:
        """Count the pixels of a window of a file."""
        with self._lock:
            counts = self._counts[name]
            counts.pixels += reading.missing.size
            counts.impossible += reading.impossible
            counts.fillers.update(reading.fillers)
            self._lacks_signal |= reading.without_signal > 0

    def add_image(self, name: str, bands: Sequence[NDArray[np.float32]], valid: NDArray[np.bool_]) -> None:
        """Count the valid pixels of an image in dB in which a polarisation is without signal; all arrays are (H, W).

        The windows of the files of the image are added first.
        """
        found = 0
        if self._lacks_signal:
            found = int(np.count_nonzero(np.logical_or.reduce([band == FLOOR_DB for band in bands]) & valid))
        with self._lock:
            self._counts[name].image_pixels += valid.size
            self._counts[name].without_signal += found

    def notes(self) -> list[str]:
        """Return one sentence for each file and kind of pixels."""
        with self._lock:
            return [note for name, counts in sorted(self._counts.items()) for note in _notes(name, counts)]


def _notes(name: str, counts: _Counts) -> list[str]:
    notes = []
    if counts.impossible:
        notes.append(
            f"{name}: {percent(counts.impossible, counts.pixels)} of the pixels hold values that are physically "
            "impossible; they are taken as invalid"
        )
    for value, count in sorted(counts.fillers.items()):
        if count:
            notes.append(
                f"{name}: {percent(count, counts.pixels)} of the pixels hold {value:g} in all bands, which is not "
                "declared as nodata; they are taken as invalid"
            )
    if counts.without_signal:
        notes.append(
            f"{name}: {percent(counts.without_signal, counts.image_pixels)} of the pixels have a signal in one "
            f"polarisation and none in the other, as over calm water; the other is taken to be {FLOOR_DB:.0f} dB"
        )
    return notes


def percent(count: int, total: int) -> str:
    """Return a share in percent."""
    return f"{count / total:.1%}" if count >= total / 1000 else "less than 0.1%"
