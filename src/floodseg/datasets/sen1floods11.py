"""Layout ``sen1floods11``: the official tree of Sen1Floods11 (Bonafilia et al. 2020), hand-labelled chips."""

import csv
import re
from logging import WARNING
from pathlib import Path

from floodseg.bands import Bands
from floodseg.chips.cache import open_cache
from floodseg.config.data import DataConfig
from floodseg.datasets.bands import choose_bands
from floodseg.datasets.files import ChipPaths, event_of, list_folder
from floodseg.datasets.single_date import SingleDateChips, one_date
from floodseg.errors import DataError
from floodseg.messages import SENSOR_NAMES, note_once

CHIPS = Path("v1.1/data/flood_events/HandLabeled")
SPLITS = Path("v1.1/splits/flood_handlabeled")
HELD_OUT = "held-out"
"""Split of the chips of ``hold_out_event``, which train and valid exclude."""
_DIVIDED_SPLITS = ("train", "valid")
_OFFICIAL_ORDER = ("train", "valid", "test", "bolivia")
_SPLIT_FILE = re.compile(r"flood_(\w+)_data\.csv")
_RADAR_SUFFIX, _OPTICAL_SUFFIX, _LABEL_SUFFIX = "_S1Hand.tif", "_S2Hand.tif", "_LabelHand.tif"


def sen1floods11_splits(root: Path) -> tuple[str, ...]:
    """Return the splits with a list below ``root``, in the official order; raises DataError without a list."""
    folder = root / SPLITS
    found = {match[1] for path in list_folder(folder) if (match := _SPLIT_FILE.fullmatch(path.name))}
    if not found:
        raise DataError(
            f"{folder}: holds no flood_*_data.csv; set `data` to the folder that contains v1.1 of the official "
            "Sen1Floods11 tree"
        )
    official = [split for split in _OFFICIAL_ORDER if split in found]
    return (*official, *sorted(found.difference(official)))


def open_sen1floods11(config: DataConfig, root: Path, split: str) -> SingleDateChips:
    """Open one official split.

    If the folder of a sensor is missing or empty, the set does not have this sensor. If only the file of a chip is
    missing, the sensor is invalid everywhere in this chip.

    With ``config.hold_out_event`` the splits train and valid exclude that event; the split held-out has its chips.

    Raises:
        DataError: an unknown split or event, an invalid list, a chip without label, or no image.
    """
    folder = root / CHIPS
    sar, optical, label = (
        {path.name: path for path in list_folder(folder / name) if path.name.endswith(suffix)}
        for name, suffix in (("S1Hand", _RADAR_SUFFIX), ("S2Hand", _OPTICAL_SUFFIX), ("LabelHand", _LABEL_SUFFIX))
    )
    names = _names_of_split(root, split, config.hold_out_event)
    for name in names:
        if name + _LABEL_SUFFIX not in label:
            raise DataError(
                f"{folder / 'LabelHand' / (name + _LABEL_SUFFIX)}: is missing, but every chip of the split {split} "
                "needs a label; download the file"
            )
    chips = tuple(
        ChipPaths(
            name=name,
            event=event_of(name),
            sar=one_date(sar.get(name + _RADAR_SUFFIX)),
            optical=one_date(optical.get(name + _OPTICAL_SUFFIX)),
            labels=(label[name + _LABEL_SUFFIX],),
        )
        for name in names
    )
    bands = choose_bands(config, sar.values(), optical.values(), str(folder))
    _check_images(chips, bands, folder, split)
    return SingleDateChips(chips, bands, config.sar_units, config.optical_offset, cache=open_cache(config))


def _check_images(chips: tuple[ChipPaths, ...], bands: Bands, folder: Path, split: str) -> None:
    """Raise DataError if no chip has an image; warn of chips that lack a sensor."""
    sar = sum(bool(chip.sar) for chip in chips) if bands.sar else 0
    optical = sum(bool(chip.optical) for chip in chips) if bands.optical else 0
    if not sar and not optical:
        raise DataError(
            f"{folder}: holds no image of the {len(chips)} chips of the split {split}; download their files"
        )
    for sensor, used, count in (("radar", bands.sar, sar), ("optical", bands.optical, optical)):
        if used and count < len(chips):
            lacking = len(chips) - count
            note_once(
                WARNING,
                f"{folder}: {lacking} of {len(chips)} chips of the split {split} have no {SENSOR_NAMES[sensor]} image",
            )


def _names_of_split(root: Path, split: str, held_out: str | None) -> list[str]:
    """Return the names of the chips of a split, divided by ``hold_out_event``."""
    known = (*sen1floods11_splits(root), *((HELD_OUT,) if held_out else ()))
    if split not in known:
        raise DataError(f"`split={split}`: sen1floods11 in {root} has the splits {', '.join(known)}; choose one")
    if held_out is None:
        return _read_list(_list_path(root, split))
    if split not in (*_DIVIDED_SPLITS, HELD_OUT):
        raise DataError(
            f"`hold_out_event={held_out}`: applies to the splits {' and '.join(_DIVIDED_SPLITS)}, not to {split}; "
            f"leave out `hold_out_event`, or set `split={HELD_OUT}`"
        )
    listed = {each: _read_list(_list_path(root, each)) for each in _DIVIDED_SPLITS if each in known}
    events = sorted({event_of(name) for names in listed.values() for name in names})
    if held_out not in events:
        raise DataError(f"`hold_out_event={held_out}`: must be one of the events {', '.join(events)}")
    if split == HELD_OUT:
        return [name for names in listed.values() for name in names if event_of(name) == held_out]
    others = [name for name in listed[split] if event_of(name) != held_out]
    if not others:
        raise DataError(f"`hold_out_event={held_out}`: leaves no chip in the split {split}; hold out another event")
    return others


def _list_path(root: Path, split: str) -> Path:
    return root / SPLITS / f"flood_{split}_data.csv"


def _read_list(path: Path) -> list[str]:
    lines: dict[str, int] = {}
    for number, row in enumerate(_rows(path), start=1):
        first = row[0].strip() if row else ""
        if not any(cell.strip() for cell in row):
            continue
        name = first.removesuffix(_RADAR_SUFFIX)
        if name == first or not name or "/" in name or "\\" in name:
            raise DataError(
                f"{path}: line {number} starts with '{first}', but a split lists file names without folders, "
                f"NAME{_RADAR_SUFFIX},NAME{_LABEL_SUFFIX}; restore the official file"
            )
        if name in lines:
            raise DataError(f"{path}: lines {lines[name]} and {number} both list {name}; remove one of them")
        lines[name] = number
    if not lines:
        raise DataError(f"{path}: lists no chip; restore the official file")
    return list(lines)


def _rows(path: Path) -> list[list[str]]:
    try:
        # some editors write a byte order mark
        with path.open(newline="", encoding="utf-8-sig") as stream:
            return list(csv.reader(stream))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise DataError(f"{path}: cannot be read as a list of chips ({reason}); restore the official file") from error
