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
    for sensor, used, paths in (
        ("radar", bands.sar, [chip.sar for chip in chips]),
        ("optical", bands.optical, [chip.optical for chip in chips]),
    ):
        lacking = paths.count(None)
        if used and lacking:
            note_once(WARNING, f"{folder}: {lacking} of {len(chips)} chips of the split {split} have no {sensor} image")
    return FileChips(tuple(chips), bands, config.sar_units, config.optical_offset, open_cache(config))


def _chip_names(path: Path) -> list[str]:
    names = []
    with path.open(newline="", encoding="utf-8") as stream:
        for number, row in enumerate(csv.reader(stream), start=1):
            if not row:
                continue
            if not row[0].strip().endswith(_RADAR_SUFFIX):
                raise DataError(
                    f"{path}: line {number} starts with '{row[0]}'; a split lists NAME{_RADAR_SUFFIX},NAME"
                    f"{_LABEL_SUFFIX}: restore the official file"
                )
            names.append(row[0].strip().removesuffix(_RADAR_SUFFIX))
    if not names:
        raise DataError(f"{path}: lists no chip; restore the official file")
    return names


def _listed(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []
