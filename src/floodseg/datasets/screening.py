"""Chips that can be used: each is read once before any is learned from or scored, and single bad ones are left out.

One damaged file must not end a run after hours, so it is found before the run begins. More than a few are a fault of
the data set or of a setting, and refused.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from logging import WARNING

from floodseg.chips.chip import ChipSet
from floodseg.config.train import DataConfig
from floodseg.datasets.base import LabelledChips, Named
from floodseg.datasets.layouts import open_layout
from floodseg.errors import DataError
from floodseg.messages import note_once

LARGEST_SHARE = 0.05
"""Share of a split that may be left out; one chip always may, but never all."""


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A chip that the split lists and that cannot be used."""

    name: str
    event: str
    reason: str
    """File, fault and remedy."""


@dataclass(frozen=True, slots=True)
class Usable:
    """The chips of a split that can be used, in its order, and those that cannot."""

    split: str
    chips: ChipSet
    left_out: tuple[LeftOut, ...]

    @property
    def warning(self) -> str | None:
        """One line that names the chips that are left out; None where there are none."""
        if not self.left_out:
            return None
        total = len(self.chips.names) + len(self.left_out)
        named = "; ".join(f"{chip.name} ({chip.reason})" for chip in self.left_out)
        return f"split '{self.split}': {len(self.left_out)} of {total} chips cannot be used and are left out: {named}"


def open_usable(config: DataConfig, split: str) -> Usable:
    """Open the chips of one split without those that cannot be used, of which a warning tells.

    Every chip of a layout in files is read whole, which also fills the cache. A chip cannot be used where a file of it
    is missing, damaged or no image, where its files differ in size or grid, or where bands, values or label codes
    break the data contract.

    Raises:
        DataError: the split cannot be opened (see ``open_layout``), or more of its chips than a few cannot be used.
    """
    chips = open_layout(config, split)
    if not isinstance(chips, LabelledChips):
        return Usable(split, chips, ())
    usable = _read_all(chips, split)
    if usable.warning:
        note_once(WARNING, usable.warning)
    return usable


def _read_all(chips: LabelledChips[Named], split: str) -> Usable:
    total = len(chips.chips)
    allowed = min(max(1, int(LARGEST_SHARE * total)), total - 1)
    kept: list[Named] = []
    left_out: list[LeftOut] = []
    for index, files in enumerate(chips.chips):
        try:
            chips.read(index)
        except DataError as error:
            left_out.append(LeftOut(files.name, files.event, str(error)))
            if len(left_out) > allowed:
                raise _refusal(split, left_out, index + 1, total, allowed) from error
        else:
            kept.append(files)
    return Usable(split, replace(chips, chips=tuple(kept), checked=True), tuple(left_out))


def _refusal(split: str, left_out: Sequence[LeftOut], looked_at: int, total: int, allowed: int) -> DataError:
    first = left_out[0]
    if total == 1:
        return DataError(first.reason)
    return DataError(
        f"split '{split}': {len(left_out)} of the first {looked_at} chips cannot be used, and at most {allowed} of "
        f"{total} may be left out; {first.name}: {first.reason}"
    )
