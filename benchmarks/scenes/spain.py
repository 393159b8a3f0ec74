"""Mosaic of the hand-labelled chips of Spain, which share one grid: the largest labelled real scene."""

from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np

from floodseg.bands import IGNORE, Bands
from floodseg.chips.chip import Chip
from floodseg.config.data import DataConfig
from floodseg.datasets.layouts import open_layout
from floodseg.errors import ConfigError
from floodseg.geo.grid import GeoGrid, Window

CHIP_SIZE = 512
ACQUIRED = "2019-09-17"
"""Acquisition date of the Sentinel-1 images (Bonafilia et al. 2020)."""


@dataclass(frozen=True)
class PlacedChip:
    """Chip and its position in the mosaic, in pixels."""

    chip: Chip
    split: str
    row: int
    column: int

    @property
    def slices(self) -> tuple[slice, slice]:
        """Rows and columns of the mosaic that the chip covers."""
        return slice(self.row, self.row + CHIP_SIZE), slice(self.column, self.column + CHIP_SIZE)


@dataclass(frozen=True)
class Mosaic:
    """Square mosaic of chips; pixels between them are invalid and unlabelled."""

    chips: tuple[PlacedChip, ...]
    grid: GeoGrid
    bands: Bands
    """Bands of the chips: only radar."""

    def chip(self, bands: Bands) -> Chip:
        """Return the mosaic as one chip with the bands of a model; all optical bands are invalid.

        Raises:
            ConfigError: the radar bands of the model and of the chips differ.
        """
        if bands.sar != self.bands.sar:
            raise ConfigError(
                f"the model takes the radar bands {', '.join(bands.sar) or 'none'}, and the chips of Spain have "
                f"{', '.join(self.bands.sar)}; choose a model for these"
            )
        shape = (self.grid.height, self.grid.width)
        sar, label = np.zeros((len(bands.sar), *shape), np.float32), np.full(shape, IGNORE, np.uint8)
        valid = np.zeros(shape, np.bool_)
        for placed in self.chips:
            slices, chip = placed.slices, placed.chip
            sar[:, *slices], valid[slices], label[slices] = chip.sar, chip.sar_valid, chip.label
        return Chip(
            name="mosaic of Spain", event="Spain", sar=sar, sar_valid=valid, label=label, grid=self.grid,
            optical=np.zeros((len(bands.optical), *shape), np.float32), optical_valid=np.zeros_like(valid),
        )  # fmt: skip


def build_mosaic(data: Path, side: int) -> Mosaic:
    """Return the mosaic of ``side`` pixels a side with the most complete chips of the splits train and valid.

    Raises:
        ConfigError: the data set has no chips of Spain.
        DataError: the data set cannot be opened.
    """
    config = DataConfig(data=data, layout="sen1floods11", sensors="sar", cache_gb=0)
    chips: list[PlacedChip] = []
    for split in ("train", "valid"):
        opened = open_layout(config, split)
        read = [opened.read(index) for index, event in enumerate(opened.events) if event == "Spain"]
        chips += [PlacedChip(chip, split, *_corner(chip)) for chip in read]
    if not chips:
        raise ConfigError(f"--data {data}: holds no chips of Spain; name the tree of Sen1Floods11")
    corners = product(sorted({chip.row for chip in chips}), sorted({chip.column for chip in chips}))
    inside, top, left = max(
        (([chip for chip in chips if _is_inside(chip, row, column, side)], row, column) for row, column in corners),
        key=lambda choice: len(choice[0]),
    )
    first = inside[0]
    assert first.chip.grid is not None
    grid = first.chip.grid.crop(Window(top - first.row, left - first.column, side, side))
    placed = (PlacedChip(chip.chip, chip.split, chip.row - top, chip.column - left) for chip in inside)
    return Mosaic(tuple(placed), grid, opened.bands)


def _is_inside(chip: PlacedChip, top: int, left: int, side: int) -> bool:
    limit = side - CHIP_SIZE
    return 0 <= chip.row - top <= limit and 0 <= chip.column - left <= limit


def _corner(chip: Chip) -> tuple[int, int]:
    """Return row and column of the top left corner of a chip on the grid that all chips of Spain share."""
    assert chip.grid is not None
    a, _, c, _, e, f = chip.grid.transform
    return round(f / e), round(c / a)
