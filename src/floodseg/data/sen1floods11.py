"""The official tree of Sen1Floods11 (Bonafilia et al. 2020), hand-labelled chips."""

import csv
import re
from logging import WARNING
from pathlib import Path

from floodseg.config import DataConfig
from floodseg.data.cache import open_cache
from floodseg.data.files import ChipFiles, FileChips, choose_bands
from floodseg.data.notes import note_once
from floodseg.errors import DataError

CHIPS = Path("v1.1/data/flood_events/HandLabeled")
SPLITS = Path("v1.1/splits/flood_handlabeled")
_OFFICIAL_ORDER = ("train", "valid", "test", "bolivia")
_SPLIT_FILE = re.compile(r"flood_(\w+)_data\.csv")
_RADAR_SUFFIX, _OPTICAL_SUFFIX, _LABEL_SUFFIX = "_S1Hand.tif", "_S2Hand.tif", "_LabelHand.tif"


def sen1floods11_splits(root: Path) -> tuple[str, ...]:
    """Return the splits whose lists are below ``root``, in the official order; raises DataError where there is none."""
    folder = root / SPLITS
    found = {match[1] for path in _listed(folder) if (match := _SPLIT_FILE.fullmatch(path.name))}
    if not found:
        raise DataError(
            f"{folder}: holds no flood_*_data.csv; --data must be the folder above v1.1 of the official Sen1Floods11 "
            "tree: point it there"
        )
    official = [split for split in _OFFICIAL_ORDER if split in found]
    return (*official, *sorted(found.difference(official)))


def open_sen1floods11(config: DataConfig, root: Path, split: str) -> FileChips:
    """Open one official split.

    A sensor whose folder is absent or empty is not in the set at all; a chip without its file of a sensor that others
    have is a normal chip, all invalid there.

    Raises:
        DataError: an unknown split, a list that cannot be followed, a chip without label, or no image at all.
    """
    known = sen1floods11_splits(root)
    if split not in known:
        raise DataError(f"--split {split}: sen1floods11 in {root} has the splits {', '.join(known)}: name one of them")
    folder = root / CHIPS
    sar, optical, label = (
        {path.name: path for path in _listed(folder / name) if path.name.endswith(suffix)}
        for name, suffix in (("S1Hand", _RADAR_SUFFIX), ("S2Hand", _OPTICAL_SUFFIX), ("LabelHand", _LABEL_SUFFIX))
    )
    chips = []
    for name in _chip_names(root / SPLITS / f"flood_{split}_data.csv"):
        if name + _LABEL_SUFFIX not in label:
            raise DataError(
                f"{folder / 'LabelHand' / (name + _LABEL_SUFFIX)}: is missing; every chip that the split {split} "
                "lists needs its label: download the file"
            )
        chips.append(
            ChipFiles(
                name=name,
                event=name.partition("_")[0],
                sar=sar.get(name + _RADAR_SUFFIX),
                optical=optical.get(name + _OPTICAL_SUFFIX),
                label=label[name + _LABEL_SUFFIX],
            )
        )
    bands = choose_bands(config, sar.values(), optical.values(), str(folder))
    if not any((bands.sar and chip.sar) or (bands.optical and chip.optical) for chip in chips):
        raise DataError(
            f"{folder}: holds no image of any of the {len(chips)} chips that the split {split} lists; a split needs "
            "some: download their files"
        )
    for sensor, used, paths in (
        ("radar", bands.sar, [chip.sar for chip in chips]),
        ("optical", bands.optical, [chip.optical for chip in chips]),
    ):
        lacking = paths.count(None)
        if used and lacking:
            note_once(WARNING, f"{folder}: {lacking} of {len(chips)} chips of the split {split} have no {sensor} image")
    return FileChips(tuple(chips), bands, config.sar_units, config.optical_offset, open_cache(config))


def _chip_names(path: Path) -> list[str]:
    lines: dict[str, int] = {}
    for number, row in enumerate(_rows(path), start=1):
        first = row[0].strip() if row else ""
        if not any(cell.strip() for cell in row):
            continue
        name = first.removesuffix(_RADAR_SUFFIX)
        if name == first or not name or "/" in name or "\\" in name:
            raise DataError(
                f"{path}: line {number} starts with '{first}'; a split lists file names without folders, "
                f"NAME{_RADAR_SUFFIX},NAME{_LABEL_SUFFIX}: restore the official file"
            )
        if name in lines:
            raise DataError(
                f"{path}: lines {lines[name]} and {number} both list {name}; a chip counts once: remove one of them"
            )
        lines[name] = number
    if not lines:
        raise DataError(f"{path}: lists no chip; restore the official file")
    return list(lines)


def _rows(path: Path) -> list[list[str]]:
    try:
        # the mark that some editors put before the first character is no part of a name
        with path.open(newline="", encoding="utf-8-sig") as stream:
            return list(csv.reader(stream))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise DataError(f"{path}: cannot be read as a list of chips ({reason}); restore the official file") from error


def _listed(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []
