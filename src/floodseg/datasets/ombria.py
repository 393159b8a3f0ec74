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
from floodseg.config.train import DataConfig
from floodseg.datasets.bands import require_distinct, require_optical, require_sensors
from floodseg.datasets.files import ChipPaths, list_folder
from floodseg.datasets.folders import nearest_subset
from floodseg.datasets.two_dates import TwoDateChips
from floodseg.errors import ConfigError, DataError
from floodseg.messages import note_once

SAR_CHANNELS = ("VV_before", "VV_after")
OPTICAL_CHANNELS = ("B03_before", "B08_before", "B11_before", "B03_after", "B08_after", "B11_after")

BLOCK = 20
"""Numbers in a block (1 to 20, 21 to 40, ...); neighbouring numbers can be neighbouring places."""

_LATER_EVENTS = "2021"
_TRAIN_NAME, _LATER_NAME = r"S{sensor}_{part}_(\d+)\.png", r"{part}_(\d+)\.png"
_TRAIN_PARTS = {"BEFORE": "before", "AFTER": "after", "MASK": "mask"}
_LATER_PARTS = {"BEFORE": "imbefore", "AFTER": "imafter", "MASK": "gt"}

_Dates = tuple[Path, ...]
"""The images of one sensor: before, after."""


@dataclass(frozen=True, slots=True)
class _Images:
    """Files of one folder of the release by number."""

    sar: dict[int, _Dates]
    optical: dict[int, _Dates]
    masks: dict[int, tuple[Path, ...]]

    @property
    def complete(self) -> list[int]:
        """The numbers that have a mask and at least one sensor."""
        return sorted(self.masks.keys() & (self.sar.keys() | self.optical.keys()))


def ombria_splits(root: Path) -> tuple[str, ...]:
    """Return the splits that are below ``root``: train and valid, test, and each event of 2021 by its name.

    Raises:
        DataError: none of their folders is there.
    """
    folders = [split for split in ("train", "test") if any((root / f"OmbriaS{n}" / split).is_dir() for n in (1, 2))]
    later = sorted(path.name.lower() for path in list_folder(root / _LATER_EVENTS) if path.is_dir())
    if not folders and not later:
        raise DataError(
            f"{root}: holds neither OmbriaS1/train nor OmbriaS2/train; `data` must be the folder above OmbriaS1 of the "
            "OMBRIA release: point it there"
        )
    return (*(("train", "valid") if "train" in folders else ()), *folders[folders.count("train") :], *later)


def open_ombria(config: DataConfig, root: Path, split: str) -> TwoDateChips:
    """Open one split; train and valid share the training folder, cut apart by blocks of 20 neighbouring numbers.

    A set of images that lacks a sensor is a chip without it; one without a mask is left out, with a warning. A chip's
    name is its number with four digits, its event the block of its number (``0041-0060``); the events of 2021 have
    their own names, and their chips are named after them (``albania_0007``).

    Args:
        config: ``sensors``, ``optical_bands``, ``val_split`` and ``split_seed`` are followed.
        root: the folder that holds OmbriaS1 and OmbriaS2, and 2021 where it is there.
        split: one of ``ombria_splits``.

    Raises:
        DataError: an unknown split, an image of one date alone, no image with a mask, or an asked-for sensor that is
            not there.
        ConfigError: ``optical_bands`` holds an unknown name, or one twice.
    """
    known = ombria_splits(root)
    if split not in known:
        raise DataError(f"`split={split}`: ombria in {root} has the splits {', '.join(known)}: name one of them")
    place, images, event = _images(root, split)
    numbers = images.complete
    if not numbers:
        raise DataError(
            f"{place}: holds no image with a mask; BEFORE, AFTER and MASK share their numbers: copy the release again"
        )
    _warn_of_unmasked(place, images)
    bands = _bands(config, images, place)
    # the blocks follow from all sets, whatever --sensors says, or a chip of training would be scored as validation
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
    return TwoDateChips(chips, bands, tuple(stored.index(band) for band in bands.optical), cache=open_cache(config))


def block_of(number: int) -> str:
    """Return the name of the block that holds a number: ``0041-0060`` for 41 to 60."""
    first = (number - 1) // BLOCK * BLOCK + 1
    return f"{max(first, 0):04d}-{first + BLOCK - 1:04d}"


def validation_blocks(numbers: Sequence[int], share: float, seed: int, place: str) -> set[str]:
    """Return the validation blocks: a seeded choice that holds as nearly ``share`` of the sets as possible.

    Raises:
        DataError: all numbers lie in one block.
    """
    sizes = Counter(block_of(number) for number in sorted(numbers))
    if len(sizes) < 2:
        raise DataError(
            f"{place}: all {len(numbers)} sets lie in the block {next(iter(sizes))}; training and validation need a "
            f"block of {BLOCK} numbers each: add sets of other numbers"
        )
    blocks = sorted(sizes)
    shuffled = [blocks[position] for position in np.random.default_rng(seed).permutation(len(blocks))]
    return nearest_subset(shuffled, sizes, share * len(numbers), len(numbers))


def _images(root: Path, split: str) -> tuple[str, _Images, str]:
    """Return the folders of a split, its images, and its event (empty where there are several)."""
    if split in ("train", "valid", "test"):
        folder = "test" if split == "test" else "train"
        sensors = {number: root / f"OmbriaS{number}" / folder for number in (1, 2)}
        parts, pattern, event = _TRAIN_PARTS, _TRAIN_NAME, ""
    else:
        place = next(path for path in list_folder(root / _LATER_EVENTS) if path.name.lower() == split)
        sensors = {number: place / f"Sentinel{number}" for number in (1, 2)}
        parts, pattern, event = _LATER_PARTS, _LATER_NAME, split
    found = {
        (number, part): _by_number(folder / part, pattern.format(sensor=number, part=word))
        for number, folder in sensors.items()
        for part, word in parts.items()
    }
    sar, optical = (_pairs(found[n, "BEFORE"], found[n, "AFTER"], sensors[n]) for n in (1, 2))
    one, other = found[1, "MASK"], found[2, "MASK"]
    masks = {
        number: tuple(each[number] for each in (one, other) if number in each) for number in one.keys() | other.keys()
    }
    return ", ".join(str(folder) for folder in sensors.values()), _Images(sar, optical, masks), event


def _by_number(folder: Path, pattern: str) -> dict[int, Path]:
    matches = ((re.fullmatch(pattern, path.name), path) for path in list_folder(folder))
    return {int(match[1]): path for match, path in matches if match}


def _pairs(before: Mapping[int, Path], after: Mapping[int, Path], folder: Path) -> dict[int, _Dates]:
    alone = sorted(before.keys() ^ after.keys())
    if alone:
        present, lacking = (before, "AFTER") if alone[0] in before else (after, "BEFORE")
        raise DataError(
            f"{present[alone[0]]}: has no image of the same number in {folder / lacking}; a sensor needs both dates: "
            "copy the missing file or remove this one"
        )
    return {number: (before[number], after[number]) for number in sorted(before)}


def _warn_of_unmasked(place: str, images: _Images) -> None:
    unmasked = sorted((images.sar.keys() | images.optical.keys()) - images.masks.keys())
    if unmasked:
        shown = ", ".join(f"{number:04d}" for number in unmasked[:10])
        more = ", ..." if len(unmasked) > 10 else ""
        note_once(WARNING, f"{place}: {len(unmasked)} sets without a mask are left out: {shown}{more}")


def _bands(config: DataConfig, images: _Images, place: str) -> Bands:
    require_sensors(config, {"sar": bool(images.sar), "optical": bool(images.optical)}, place)
    sar = SAR_CHANNELS if images.sar and config.sensors != "optical" else ()
    optical = _optical_channels(config.optical_bands) if images.optical and config.sensors != "sar" else ()
    require_optical(config, in_use=bool(optical))
    return Bands(sar, optical, sar_unit="dn", optical_unit="dn")


def _optical_channels(asked: tuple[str, ...]) -> tuple[str, ...]:
    unknown = [band for band in asked if band not in OPTICAL_CHANNELS]
    if unknown:
        raise ConfigError(
            f"`optical_bands={' '.join(asked)}`: {', '.join(unknown)} is not in layout ombria; its optical bands are "
            f"{', '.join(OPTICAL_CHANNELS)}"
        )
    require_distinct(asked, asked)
    return asked or OPTICAL_CHANNELS
