"""Crops of another pixel size: more or less ground than a crop has pixels, resampled to it."""

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from floodseg.bands import Bands
from floodseg.chips.chip import ChipArrays
from floodseg.config.train import AugmentConfig


def draw_extent(config: AugmentConfig, rng: np.random.Generator) -> int:
    """Draw how many pixels of a chip a crop spans a side: ``crop_size`` by a factor from 1 / ``zoom`` to ``zoom``.

    The factor is even in its logarithm. Nothing is drawn where ``zoom`` is 1.
    """
    if config.zoom == 1:
        return config.crop_size
    factor: float = config.zoom ** rng.uniform(-1, 1)
    return max(1, round(config.crop_size * factor))


def resample(chip: ChipArrays, place: ChipArrays, bands: Bands) -> None:
    """Write a chip to arrays of another height and width: images as means over the pixel, label and validity nearest.

    Radar in dB is averaged in power, as a product of coarser pixels is; what is invalid takes no part.
    """
    height, width = place.label.shape
    place.label[:] = _nearest(chip.label, height, width)
    in_db = bool(bands.sar) and bands.sar_unit == "db"
    for values, valid, target, target_valid, power in (
        (chip.sar, chip.sar_valid, place.sar, place.sar_valid, in_db),
        (chip.optical, chip.optical_valid, place.optical, place.optical_valid, False),
    ):
        if not target.shape[0]:
            target_valid[:] = False
            continue
        given = np.where(valid, values, np.float32(0))
        mean, seen = _mean(np.power(np.float32(10), given / 10) if power else given, valid, height, width)
        target_valid[:] = _nearest(valid.view(np.uint8), height, width).view(np.bool_) & seen
        # a mean of power is above 0 where anything was seen; the bound is for pixels that are invalid anyway
        target[:] = 10 * np.log10(np.maximum(mean, np.float32(1e-20))) if power else mean


def _mean(
    values: NDArray[np.float32], valid: NDArray[np.bool_], height: int, width: int
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Return the mean of (C, H, W) over what is valid, and where anything is."""
    weights = torch.from_numpy(valid.astype(np.float32))[None, None]
    given = torch.from_numpy(np.ascontiguousarray(values))[None]
    summed = F.interpolate(
        torch.cat((given * weights, weights), dim=1), size=(height, width), mode="bilinear", antialias=True
    )[0].numpy()
    share = summed[-1]
    return summed[:-1] / np.maximum(share, np.float32(1e-6)), share > 1e-3


def _nearest(codes: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    rows = _centres(height, codes.shape[0])
    return codes[rows[:, None], _centres(width, codes.shape[1])]


def _centres(size: int, given: int) -> NDArray[np.int64]:
    """Return the pixel of ``given`` in which the centre of each of ``size`` lies."""
    return ((2 * np.arange(size) + 1) * given) // (2 * size)
