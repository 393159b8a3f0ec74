"""Counts of the pixels that need a note: impossible values, undeclared fillers, and polarisations without signal."""

import threading
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from floodseg.classical import FLOOR_DB
from floodseg.messages import percent
from floodseg.raster.physical import PhysicalBlock


@dataclass
class _Counts:
    pixels: int = 0
    impossible: int = 0
    fillers: Counter[float] = field(default_factory=Counter)
    image_pixels: int = 0
    without_signal: int = 0


class PixelCounts:
    """Thread-safe counts by file and image. Windows may overlap, so notes give shares of the pixels that were read."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: defaultdict[str, _Counts] = defaultdict(_Counts)
        self._files: dict[str, Sequence[str]] = {}
        self._lacks_signal = False

    def group_files(self, names: Sequence[str]) -> None:
        """Group the files of an image: a pixel is filled only where it is filled in all of them."""
        self._files.update((name, names) for name in names)

    def add(self, name: str, reading: PhysicalBlock) -> None:
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
            names = sorted(self._counts)
            return [note for name in names for note in _notes(name, self._counts[name], self._fillers(name))]

    def _fillers(self, name: str) -> dict[float, str]:
        """Return filler -> share of pixels. Only the first file of an image reports it; the others return {}."""
        files = self._files.get(name, (name,))
        if name != files[0]:
            return {}
        shares = {}
        for value in sorted(self._counts[name].fillers):
            least = min((self._counts[file] for file in files), key=lambda each: each.fillers[value] / each.pixels)
            if least.fillers[value]:
                shares[value] = percent(least.fillers[value] / least.pixels)
        return shares


def _notes(name: str, counts: _Counts, fillers: Mapping[float, str]) -> list[str]:
    notes = []
    if counts.impossible:
        notes.append(
            f"{name}: {percent(counts.impossible / counts.pixels)} of the pixels hold values that are physically "
            "impossible; they are taken as invalid"
        )
    notes.extend(
        f"{name}: {share} of the pixels hold {value:g} in all bands, which is not declared as nodata; they are taken "
        "as invalid"
        for value, share in fillers.items()
    )
    if counts.without_signal:
        notes.append(
            f"{name}: {percent(counts.without_signal / counts.image_pixels)} of the pixels have a signal in one "
            f"polarisation and none in the other, as over calm water; the other is taken to be {FLOOR_DB:.0f} dB"
        )
    return notes
