"""Layout ``ombria`` (Drakonakis et al. 2022): images of both sensors before and after a flood, and flood masks."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from logging import WARNING
from pathlib import Path

import numpy as np

from floodseg.bands import DATES, OMBRIA_OPTICAL_BANDS, Bands
from floodseg.chips.cache import open_cache
from floodseg.config.data import DataConfig
from floodseg.datasets.bands import require_distinct, require_optical, require_sensors
from floodseg.datasets.files import ChipPaths, first_names, list_folder
from floodseg.datasets.folders import nearest_subset
from floodseg.datasets.two_dates import TwoDateChips
from floodseg.errors import ConfigError, DataError
from floodseg.messages import note_once

SAR_CHANNELS = ("VV_before", "VV_after")
OPTICAL_CHANNELS = ("B03_before", "B08_before", "B11_before", "B03_after", "B08_after", "B11_after")

BLOCK = 20
"""Numbers per block (1 to 20, 21 to 40, ...), the unit of the split: consecutive numbers can be neighbouring places."""

_EVENTS_2021 = "2021"
_NAME, _NAME_2021 = r"S{sensor}_{part}_(\d+)\.png", r"{part}_(\d+)\.png"
_PARTS = {"BEFORE": "before", "AFTER": "after", "MASK": "mask"}
_PARTS_2021 = {"BEFORE": "imbefore", "AFTER": "imafter", "MASK": "gt"}

_Dates = tuple[Path, ...]
"""Images of one sensor: before, after."""


@dataclass(frozen=True, slots=True)
class _Images:
    """Files of one split by number."""

    sar: dict[int, _Dates]
    optical: dict[int, _Dates]
    masks: dict[int, tuple[Path, ...]]

    @property
    def complete(self) -> list[int]:
        """Sorted numbers with a mask and at least one sensor."""
        return sorted(self.masks.keys() & (self.sar.keys() | self.optical.keys()))


def ombria_splits(root: Path) -> tuple[str, ...]:
    """Return the splits found below ``root``: train, valid, test, and the names of the events of 2021.

    Raises:
        DataError: no split is found.
    """
    splits: list[str] = []
    for folder, names in (("train", ("train", "valid")), ("test", ("test",))):
        if any((root / f"OmbriaS{number}" / folder).is_dir() for number in (1, 2)):
            splits += names
    splits += sorted(path.name.lower() for path in list_folder(root / _EVENTS_2021) if path.is_dir())
    if not splits:
        raise DataError(
            f"{root}: holds neither OmbriaS1/train nor OmbriaS2/train; set `data` to the folder that contains OmbriaS1 "
            "of the OMBRIA release"
        )
    return tuple(splits)


def open_ombria(config: DataConfig, root: Path, split: str) -> TwoDateChips:
    """Open one split. Train and valid are separate blocks of 20 consecutive numbers of the training folder.

    A set of images may lack a sensor. A set without a mask is left out, with a warning. The name of a chip is its
    number with four digits, its event is the block of its number (``0041-0060``). The chips of an event of 2021 are
    named after the event (``albania_0007``).

    Args:
        config: ``sensors``, ``optical_bands``, ``val_split`` and ``split_seed`` are used.
        root: folder of OmbriaS1, OmbriaS2 and, optionally, 2021.
        split: one of ``ombria_splits``.

    Raises:
        DataError: an unknown split, an image of only one date, no image with a mask, or a requested sensor is missing.
        ConfigError: ``optical_bands`` has an unknown or repeated name.
    """
    known = ombria_splits(root)
    if split not in known:
        raise DataError(f"`split={split}`: ombria in {root} has the splits {', '.join(known)}; choose one")
    place, images, event = _images(root, split)
    numbers = images.complete
    if not numbers:
        raise DataError(f"{place}: holds no image with a mask of the same number; copy the release again")
    notes = _unmasked_notes(place, images)
    for note in notes:
        note_once(WARNING, note)
    bands = _bands(config, images, place)
    # the blocks must not depend on the sensors in use, or a training chip could become a validation chip
    if split in ("train", "valid"):
        held_out = validation_blocks(numbers, config.val_split, config.split_seed, place)
        numbers = [number for number in numbers if (block_of(number) in held_out) == (split == "valid")]
    chips = tuple(
        ChipPaths(
            name=f"{event}_{number:04d}" if event else f"{number:04d}",
            event=event or block_of(number),
            sar=images.sar.get(number, ()),
            optical=images.optical.get(number, ()),
            labels=images.masks[number],
        )
        for number in numbers
    )
    stored = [f"{band}_{date}" for date in DATES for band in OMBRIA_OPTICAL_BANDS]
    channels = tuple(stored.index(band) for band in bands.optical)
    return TwoDateChips(chips, bands, channels, cache=open_cache(config), notes=notes)


def block_of(number: int) -> str:
    """Return the name of the block of a number: ``0041-0060`` for 41 to 60."""
    first = (number - 1) // BLOCK * BLOCK + 1
    return f"{max(first, 0):04d}-{first + BLOCK - 1:04d}"


def validation_blocks(numbers: Sequence[int], share: float, seed: int, place: str) -> set[str]:
    """Return the validation blocks: a seeded choice with as close to ``share`` of the sets as possible.

    Raises:
        DataError: all numbers are in one block.
    """
    sizes = Counter(block_of(number) for number in sorted(numbers))
    if len(sizes) < 2:
        raise DataError(
            f"{place}: all {len(numbers)} chips are in one block of {BLOCK} numbers ({next(iter(sizes))}), but "
            "training and validation need at least one block each; add chips with other numbers"
        )
    blocks = sorted(sizes)
    shuffled = [blocks[position] for position in np.random.default_rng(seed).permutation(len(blocks))]
    return nearest_subset(shuffled, sizes, share * len(numbers), len(numbers))


def _images(root: Path, split: str) -> tuple[str, _Images, str]:
    """Return the folders of a split, its images, and its event (empty if there are several)."""
    if split in ("train", "valid", "test"):
        folder = "test" if split == "test" else "train"
        sensors = {number: root / f"OmbriaS{number}" / folder for number in (1, 2)}
        parts, pattern, event = _PARTS, _NAME, ""
    else:
        place = next(path for path in list_folder(root / _EVENTS_2021) if path.name.lower() == split)
        sensors = {number: place / f"Sentinel{number}" for number in (1, 2)}
        parts, pattern, event = _PARTS_2021, _NAME_2021, split
    found = {
        (number, part): _by_number(folder / part, pattern.format(sensor=number, part=word))
        for number, folder in sensors.items()
        for part, word in parts.items()
    }
    sar, optical = (_pairs(found[n, "BEFORE"], found[n, "AFTER"], sensors[n]) for n in (1, 2))
    copies = found[1, "MASK"], found[2, "MASK"]
    masks = {
        number: tuple(copy[number] for copy in copies if number in copy)
        for number in copies[0].keys() | copies[1].keys()
    }
    return ", ".join(str(folder) for folder in sensors.values()), _Images(sar, optical, masks), event


def _by_number(folder: Path, pattern: str) -> dict[int, Path]:
    matches = ((re.fullmatch(pattern, path.name), path) for path in list_folder(folder))
    return {int(match[1]): path for match, path in matches if match}


def _pairs(before: Mapping[int, Path], after: Mapping[int, Path], folder: Path) -> dict[int, _Dates]:
    if unpaired := before.keys() ^ after.keys():
        number = min(unpaired)
        present, lacking = (before, "AFTER") if number in before else (after, "BEFORE")
        raise DataError(
            f"{present[number]}: has no image of the same number in {folder / lacking}, but a sensor needs both dates; "
            "copy the missing file or remove this one"
        )
    return {number: (before[number], after[number]) for number in sorted(before)}


def _unmasked_notes(place: str, images: _Images) -> tuple[str, ...]:
    unmasked = sorted((images.sar.keys() | images.optical.keys()) - images.masks.keys())
    if not unmasked:
        return ()
    shown = first_names([f"{number:04d}" for number in unmasked])
    return (f"{place}: {len(unmasked)} image sets without a mask are left out: {shown}",)


def _bands(config: DataConfig, images: _Images, place: str) -> Bands:
    require_sensors(config, {"sar": bool(images.sar), "optical": bool(images.optical)}, place)
    sar = SAR_CHANNELS if images.sar and config.sensors != "optical" else ()
    optical = _optical_channels(config.optical_bands) if images.optical and config.sensors != "sar" else ()
    require_optical(config, in_use=bool(optical))
    return Bands(sar, optical, sar_unit="dn", optical_unit="dn")


def _optical_channels(names: tuple[str, ...]) -> tuple[str, ...]:
    unknown = [band for band in names if band not in OPTICAL_CHANNELS]
    if unknown:
        raise ConfigError(
            f"`optical_bands={' '.join(names)}`: layout ombria has no {' and no '.join(unknown)}; choose from its "
            f"optical bands {', '.join(OPTICAL_CHANNELS)}"
        )
    require_distinct(names, names)
    return names or OPTICAL_CHANNELS
