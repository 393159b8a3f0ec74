"""The hand-labelled chips of Spain on the one grid that they all lie on: the largest real scene that is labelled."""

from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from floodseg.bands import IGNORE, Bands
from floodseg.chips.chip import Chip
from floodseg.config.train import DataConfig
from floodseg.datasets.layouts import open_layout
from floodseg.errors import ConfigError
from floodseg.geo.grid import GeoGrid, Window

CHIP = 512
ACQUIRED = "2019-09-17"
"""When Sentinel-1 saw the flood (Bonafilia et al. 2020)."""


@dataclass(frozen=True)
class PlacedChip:
    """A chip and where it lies in the mosaic."""

    chip: Chip
    split: str
    row: int
    column: int

    @property
    def part(self) -> tuple[slice, slice]:
        """Its pixels of the mosaic."""
        return slice(self.row, self.row + CHIP), slice(self.column, self.column + CHIP)


@dataclass(frozen=True)
class Mosaic:
    """Chips in a square of ``side`` pixels; between them nothing is known."""

    chips: tuple[PlacedChip, ...]
    grid: GeoGrid
    bands: Bands
    """Of the chips: radar alone."""

    def chip(self, bands: Bands) -> Chip:
        """Return the mosaic as one chip with the channels of a model; it has no optical image.

        Raises:
            ConfigError: the model takes other radar bands than the chips have.
        """
        if bands.sar != self.bands.sar:
            raise ConfigError(
                f"the model takes the radar bands {', '.join(bands.sar) or 'none'}, and the chips of Spain have "
                f"{', '.join(self.bands.sar)}; give a model for these"
            )
        shape = (self.grid.height, self.grid.width)
        sar, label = np.zeros((len(bands.sar), *shape), np.float32), np.full(shape, IGNORE, np.uint8)
        valid = np.zeros(shape, np.bool_)
        for placed in self.chips:
            part, chip = placed.part, placed.chip
            sar[:, *part], valid[part], label[part] = chip.sar, chip.sar_valid, chip.label
        return Chip(
            name="mosaic of Spain", event="Spain", sar=sar, sar_valid=valid, label=label, grid=self.grid,
            optical=np.zeros((len(bands.optical), *shape), np.float32), optical_valid=np.zeros_like(valid),
        )  # fmt: skip

    def cover(self, split: str) -> NDArray[np.bool_]:
        """Return where chips of one split lie, (side, side)."""
        where = np.zeros((self.grid.height, self.grid.width), np.bool_)
        for placed in self.chips:
            where[placed.part] = placed.split == split
        return where


def spain(data: Path, side: int) -> Mosaic:
    """Return the square of ``side`` pixels that holds most whole chips of the splits train and valid.

    Raises:
        ConfigError: there are no chips of Spain.
        DataError: no such data set.
    """
    config = DataConfig(data=data, layout="sen1floods11", sensors="sar", cache_gb=0)
    chips: list[PlacedChip] = []
    for split in ("train", "valid"):
        opened = open_layout(config, split)
        read = [opened.read(index) for index, event in enumerate(opened.events) if event == "Spain"]
        chips += [PlacedChip(chip, split, *_corner(chip)) for chip in read]
    if not chips:
        raise ConfigError(f"--data {data}: holds no chips of Spain; give the tree of Sen1Floods11")
    corners = product(sorted({chip.row for chip in chips}), sorted({chip.column for chip in chips}))
    held, top, left = max(
        (([chip for chip in chips if _inside(chip, row, column, side)], row, column) for row, column in corners),
        key=lambda choice: len(choice[0]),
    )
    first = held[0]
    assert first.chip.grid is not None
    grid = first.chip.grid.crop(Window(top - first.row, left - first.column, side, side))
    placed = (PlacedChip(chip.chip, chip.split, chip.row - top, chip.column - left) for chip in held)
    return Mosaic(tuple(placed), grid, opened.bands)


def _inside(chip: PlacedChip, top: int, left: int, side: int) -> bool:
    return min(chip.row - top, chip.column - left, top + side - chip.row - CHIP, left + side - chip.column - CHIP) >= 0


def _corner(chip: Chip) -> tuple[int, int]:
    """Return row and column of a chip's corner on the grid that all chips of Spain share."""
    assert chip.grid is not None
    a, _, c, _, e, f = chip.grid.transform
    return round(f / e), round(c / a)
