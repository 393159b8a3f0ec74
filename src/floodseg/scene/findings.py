"""Counts of the pixels that need a note: impossible values, undeclared fillers, and polarisations without signal."""

import threading
from collections import Counter, defaultdict
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from floodseg.raster.physical import FLOOR_DB, Reading


@dataclass
class _Counts:
    pixels: int = 0
    impossible: int = 0
    without_signal: int = 0
    fillers: Counter[float] = field(default_factory=Counter)


class Findings:
    """Thread-safe counts by file or image. Windows may overlap, so notes give shares of all pixels that were read."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: defaultdict[str, _Counts] = defaultdict(_Counts)

    def add(self, name: str, reading: Reading) -> None:
        """Count the pixels of a window of a file."""
        with self._lock:
            counts = self._counts[name]
            counts.pixels += reading.missing.size
            counts.impossible += reading.impossible
            counts.fillers.update(reading.fillers)

    def add_image(self, name: str, values: NDArray[np.float32], valid: NDArray[np.bool_]) -> None:
        """Count the valid pixels (H, W) of an image in dB, (C, H, W), in which a polarisation is without signal."""
        without_signal = int(np.count_nonzero((values == FLOOR_DB).any(axis=0) & valid))
        with self._lock:
            self._counts[name].without_signal += without_signal

    def notes(self) -> list[str]:
        """Return one sentence for each file and kind of pixels."""
        with self._lock:
            return [note for name, counts in sorted(self._counts.items()) for note in _notes(name, counts)]


def _notes(name: str, counts: _Counts) -> list[str]:
    def share(count: int) -> str:
        return f"{name}: {percent(count, counts.pixels)} of the pixels"

    notes = []
    if counts.impossible:
        notes.append(
            f"{share(counts.impossible)} hold values that are physically impossible; they are taken as invalid"
        )
    for value, count in sorted(counts.fillers.items()):
        if count:
            notes.append(
                f"{share(count)} hold {value:g} in all bands, a filler that the file does not declare; they are taken "
                "as invalid"
            )
    if counts.without_signal:
        notes.append(
            f"{share(counts.without_signal)} hold a value in one polarisation and no signal in the other, as over calm "
            f"water; its backscatter is taken to be {FLOOR_DB:g} dB"
        )
    return notes


def percent(count: int, total: int) -> str:
    """Return a share in percent, with as many digits as small shares need."""
    share = 100 * count / total
    return f"{share:.0f} %" if share >= 10 else f"{share:.2g} %" if share >= 0.01 else "less than 0.01 %"
