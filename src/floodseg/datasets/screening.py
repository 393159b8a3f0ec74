"""Screening of chips before training or evaluation: every chip is read once, a few unusable ones are left out.

A damaged file is found before a run starts, and not after hours. Many unusable chips are an error: the data set or a
setting is wrong.
"""

import zlib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from logging import WARNING
from pathlib import Path

import numpy as np

from floodseg.bands import IGNORE, WATER
from floodseg.chips.chip import Chip, ChipSet
from floodseg.config.data import DataConfig
from floodseg.datasets.files import ChipPaths, FileChips, first_names, list_folder
from floodseg.datasets.layouts import open_layout
from floodseg.errors import DataError
from floodseg.messages import note_once
from floodseg.raster.dataset import open_raster
from floodseg.raster.labels import AMBIGUOUS, stored_codes

LARGEST_SHARE = 0.05
"""Largest share of a split that may be left out. One chip may always be left out, all chips never."""


@dataclass(frozen=True, slots=True)
class LeftOutChip:
    """Unusable chip of a split."""

    name: str
    event: str
    reason: str
    """Message with the file, the problem and the remedy."""


@dataclass(frozen=True, slots=True)
class UsableChips:
    """Usable chips of a split, in its order, and the chips that are left out."""

    split: str
    chips: ChipSet
    left_out: tuple[LeftOutChip, ...]
    checksums: tuple[int, ...] = ()
    """CRC-32 of the decoded content of each usable chip; empty for chips without files."""
    without_pixels: tuple[str, ...] = ()
    """Names of the usable chips without a valid pixel."""

    @property
    def warnings(self) -> list[str]:
        """One line on the chips that are left out, and one on those without a valid pixel, if there are any."""
        return [line for line in (self._left_out_line(), self._without_pixels_line()) if line]

    def _without_pixels_line(self) -> str | None:
        names, total = self.without_pixels, len(self.chips.names)
        if not names:
            return None
        return f"split '{self.split}': {len(names)} of {total} chips have no valid pixel: {first_names(names)}"

    def _left_out_line(self) -> str | None:
        if not self.left_out:
            return None
        total = len(self.chips.names) + len(self.left_out)
        named = "; ".join(f"{chip.name} ({chip.reason})" for chip in self.left_out)
        return f"split '{self.split}': {len(self.left_out)} of {total} chips cannot be used and are left out: {named}"


def open_usable(config: DataConfig, split: str) -> UsableChips:
    """Open the usable chips of one split; warnings name those that are left out and those without a valid pixel.

    Every chip of a layout of files is read completely, which also fills the cache. A chip is left out if one of its
    files is missing, damaged or not an image, if its files differ in size or grid, or if bands, values or label codes
    break the data contract.

    Raises:
        DataError: the split cannot be opened (see ``open_layout``), too many chips are unusable, or no label of
            the set has water and some store 255, which may be water.
    """
    chips = open_layout(config, split)
    if not isinstance(chips, FileChips):
        return UsableChips(split, chips, ())
    usable = _screen(chips, split)
    for warning in usable.warnings:
        note_once(WARNING, warning)
    return usable


def _screen(chips: FileChips, split: str) -> UsableChips:
    total = len(chips.chips)
    allowed = min(max(1, int(LARGEST_SHARE * total)), total - 1)
    usable: list[ChipPaths] = []
    left_out: list[LeftOutChip] = []
    checksums: list[int] = []
    without_pixels: list[str] = []
    has_water = False
    for index, paths in enumerate(chips.chips):
        try:
            chip = chips.read(index)
        except DataError as error:
            left_out.append(LeftOutChip(paths.name, paths.event, str(error)))
            if len(left_out) > allowed:
                raise _too_many_left_out(split, left_out, index + 1, total, allowed) from error
        else:
            usable.append(paths)
            checksums.append(_checksum(chip))
            if not (chip.sar_valid.any() or chip.optical_valid.any()):
                without_pixels.append(paths.name)
            has_water |= bool((chip.label == WATER).any())
    if not has_water:
        _check_coding(split, usable)
    screened = replace(chips, chips=tuple(usable), checked=True)
    return UsableChips(split, screened, tuple(left_out), tuple(checksums), tuple(without_pixels))


def _checksum(chip: Chip) -> int:
    """Return a CRC-32 of images, validity and label, which does not depend on names, dates or compression of files."""
    checksum = 0
    for array in (chip.sar, chip.optical, chip.sar_valid, chip.optical_valid, chip.label):
        checksum = zlib.crc32(np.ascontiguousarray(array).data, zlib.crc32(str(array.shape).encode(), checksum))
    return checksum


def _check_coding(split: str, chips: Sequence[ChipPaths]) -> None:
    """Refuse chips without water that store 255, if no other label of their folder is water, either."""
    doubtful = next((each.labels[0] for each in chips if IGNORE in _codes(each.labels[0])), None)
    if doubtful is None or any(WATER in _codes(path) for path in list_folder(doubtful.parent)):
        return
    raise DataError(
        f"split '{split}': no label in {doubtful.parent} holds water (1), but {doubtful.name} holds 255, {AMBIGUOUS}"
    )


def _codes(label: Path) -> set[int]:
    with suppress(DataError), open_raster(label) as source:
        return stored_codes(source)
    return set()


def _too_many_left_out(
    split: str, left_out: Sequence[LeftOutChip], screened: int, total: int, allowed: int
) -> DataError:
    first = left_out[0]
    if total == 1:
        return DataError(first.reason)
    return DataError(
        f"split '{split}': {len(left_out)} of the first {screened} chips cannot be used, and at most {allowed} of "
        f"{total} may be left out; {first.name}: {first.reason}"
    )
