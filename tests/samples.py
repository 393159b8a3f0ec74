"""Augmentation of a chip that is at hand, as training does it to one that it reads."""

from dataclasses import replace

import numpy as np

from floodseg.bands import Bands
from floodseg.chips.augment import orient, vary
from floodseg.chips.chip import Chip, ChipArrays
from floodseg.chips.shared_batches import BatchLayout, crop_of
from floodseg.config.train import AugmentConfig


def augment(chip: Chip, bands: Bands, config: AugmentConfig, rng: np.random.Generator, epoch: int = 0) -> Chip:
    """Return an augmented copy of a chip, ``crop_size`` pixels square."""
    layout = BatchLayout(bands, config.crop_size, 1)
    crop = crop_of(layout.arrays(np.empty(layout.nbytes, np.uint8), 1), 0)
    held = ChipArrays(chip.sar, chip.optical, chip.sar_valid, chip.optical_valid, chip.label)
    held.write_to(orient(crop, *chip.label.shape, config, rng))
    vary(crop, bands, config, rng, epoch)
    return replace(
        chip,
        sar=crop.sar,
        optical=crop.optical,
        sar_valid=crop.sar_valid,
        optical_valid=crop.optical_valid,
        label=crop.label,
        grid=None,
    )
