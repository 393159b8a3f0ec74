"""Layout ``folders``: chips of radar, optical images and labels in three folders, matched by name, split by event."""

from collections import Counter
from collections.abc import Sequence
from logging import WARNING
from pathlib import Path

import numpy as np

from floodseg.chips.cache import open_cache
from floodseg.config.data import DataConfig
from floodseg.datasets.bands import choose_bands
from floodseg.datasets.files import ChipPaths, event_of, first_names
from floodseg.datasets.pairing import content, match_by_name, refuse_unread_formats
from floodseg.datasets.single_date import SingleDateChips, one_date
from floodseg.errors import DataError
from floodseg.messages import note_once

FOLDER_SPLITS = ("train", "valid", "all")


def open_folders(config: DataConfig, root: Path | None, split: str) -> SingleDateChips:
    """Open one split of the chips in three folders.

    A chip is a label and at least one image with the same chip name: the file's stem, or the stem without its last
    ``_part`` (see ``match_by_name``). The event of a chip is its name up to the first ``_``.

    Args:
        config: the folders, and share and seed of the split.
        root: parent of relative folders; None if all three are absolute.
        split: train, valid or all.

    Raises:
        DataError: an unknown split, no label with an image, files in a format that is not read, or two files of one
            chip in one folder.
    """
    if split not in FOLDER_SPLITS:
        raise DataError(f"`split={split}`: layout folders has the splits {', '.join(FOLDER_SPLITS)}; choose one")
    base = root or Path()
    sar_dir, opt_dir, mask_dir = (base / folder for folder in (config.sar_dir, config.opt_dir, config.mask_dir))
    sar, optical, label = match_by_name(sar_dir, opt_dir, mask_dir)
    if config.sensors is None:
        if sar and not optical:
            note_once(WARNING, f"{opt_dir} {content(opt_dir)}; only radar is used")
        if optical and not sar:
            note_once(WARNING, f"{sar_dir} {content(sar_dir)}; only optical imagery is used")
    for sensor, folder, files in (("sar", sar_dir, sar), ("optical", opt_dir, optical)):
        if not files and (config.sensors in (sensor, "both") or not (sar or optical)):
            refuse_unread_formats(folder)
    images = ", ".join(
        str(folder) if files else f"{folder} ({content(folder)})"
        for folder, files in ((sar_dir, sar), (opt_dir, optical))
    )
    bands = choose_bands(config, sar.values(), optical.values(), images)
    # the split must not depend on the sensors in use, or a training chip could become a validation chip
    with_image = set(sar) | set(optical)
    names = sorted(with_image & set(label))
    notes = [_left_out_note(mask_dir, with_image - set(label), set(label) - with_image)]
    if split != "all" and len(names) > 1:
        notes.append(_split_note(names))
    logged = tuple(filter(None, notes))
    for note in logged:
        note_once(WARNING, note)
    chips = tuple(
        ChipPaths(name, event_of(name), one_date(sar.get(name)), one_date(optical.get(name)), (label[name],))
        for name in _names_of_split(names, config, split)
    )
    return SingleDateChips(
        chips, bands, config.sar_units, config.optical_offset, cache=open_cache(config), notes=logged
    )


def _left_out_note(folder: Path, unlabelled: set[str], without_image: set[str]) -> str:
    """Return the warning of chips without a label or an image; "" without any."""
    parts = [
        f"without {lacking}: {first_names(sorted(names))}"
        for lacking, names in (("label", unlabelled), ("image", without_image))
        if names
    ]
    left_out = len(unlabelled) + len(without_image)
    return f"{folder}: {left_out} chips are left out; {'; '.join(parts)}" if parts else ""


def _names_of_split(names: Sequence[str], config: DataConfig, split: str) -> list[str]:
    if split == "all":
        return list(names)
    if len(names) < 2:
        # scoring can use all chips, but training, which opens `train` first, cannot
        remedy = "add chips" if split == "train" else "add chips or use `split=all`"
        raise DataError(f"{', '.join(names)}: a split needs at least 2 chips; {remedy}")
    valid = split_by_event(names, config.val_split, config.split_seed)
    return [name for name in names if (name in valid) == (split == "valid")]


def split_by_event(names: Sequence[str], share: float, seed: int) -> set[str]:
    """Return the validation chips: complete events with as close to ``share`` of the chips as possible.

    The order of the names has no effect. There are at least two. A single event is split by chip.
    """
    rng = np.random.default_rng(seed)
    sizes = Counter(event_of(name) for name in sorted(names))
    if len(sizes) == 1:
        count = min(max(round(share * len(names)), 1), len(names) - 1)
        return {sorted(names)[position] for position in rng.permutation(len(names))[:count]}
    events = sorted(sizes)
    shuffled = [events[position] for position in rng.permutation(len(events))]
    held_out = nearest_subset(shuffled, sizes, share * len(names), len(names))
    return {name for name in names if event_of(name) in held_out}


def _split_note(names: Sequence[str]) -> str:
    """Return the warning of a split by chip; "" if events are split."""
    events = {event_of(name) for name in names}
    if len(events) == 1:
        return f"all {len(names)} chips are of event {events.pop()}: they are split by chip, not by event"
    if len(events) < len(names):
        return ""
    # names are numbers, for example
    return (
        f"each of the {len(names)} chips is its own event, since no two names have the same text before the first _: "
        "neighbouring chips can be in training and in validation; if chips are of one event, begin their names with it "
        "(Spain_000000.tif)"
    )


def nearest_subset(events: Sequence[str], sizes: Counter[str], target: float, total: int) -> set[str]:
    """Return events whose sizes have the sum closest to ``target``: at least one event, but not all."""
    sums: dict[int, tuple[int, str]] = {}  # sum -> (sum before, event added last)
    for event in events:
        for before in [0, *sums]:
            sums.setdefault(before + sizes[event], (before, event))
    best = min((size for size in sums if size < total), key=lambda size: (abs(size - target), size))
    chosen = set()
    while best:
        best, event = sums[best]
        chosen.add(event)
    return chosen
