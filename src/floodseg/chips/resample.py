"""Resampling of crops to another pixel size."""

from dataclasses import replace

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from floodseg.bands import Bands
from floodseg.chips.chip import Chip
from floodseg.config.train import AugmentConfig


def draw_extent(config: AugmentConfig, rng: np.random.Generator) -> int:
    """Draw the size of a crop in pixels of the chip: ``crop_size`` by a factor from 1 / ``zoom`` to ``zoom``.

    The factor is log-uniform. Nothing is drawn where ``zoom`` is 1.
    """
    if config.zoom == 1:
        return config.crop_size
    factor: float = config.zoom ** rng.uniform(-1, 1)
    return max(1, round(config.crop_size * factor))


def resample(chip: Chip, height: int, width: int, bands: Bands) -> Chip:
    """Return a chip of another height and width, without georeference: images by mean, label and validity by nearest.

    SAR in dB is averaged in power, as in a product of coarser pixels. Invalid pixels take no part in the means.
    """
    in_db = bool(bands.sar) and bands.sar_unit == "db"
    sar, sar_valid = _image(chip.sar, chip.sar_valid, height, width, in_power=in_db)
    optical, optical_valid = _image(chip.optical, chip.optical_valid, height, width)
    return replace(
        chip, sar=sar, sar_valid=sar_valid, optical=optical, optical_valid=optical_valid,
        label=_nearest(chip.label, height, width), grid=None,
    )  # fmt: skip


def _image(
    values: NDArray[np.float32], valid: NDArray[np.bool_], height: int, width: int, *, in_power: bool = False
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Return the image (C, H, W) of one sensor and its validity (H, W) at another size."""
    if not values.shape[0]:
        return np.empty((0, height, width), np.float32), np.zeros((height, width), np.bool_)
    values = np.where(valid, values, np.float32(0))
    mean, usable = _mean(np.power(np.float32(10), values / 10) if in_power else values, valid, height, width)
    if in_power:
        # the mean of power is above 0 in valid pixels; the bound is for the others
        mean = 10 * np.log10(np.maximum(mean, np.float32(1e-20)))
    usable &= _nearest(valid.view(np.uint8), height, width).view(np.bool_)
    mean[:, ~usable] = 0
    return mean, usable


def _mean(
    values: NDArray[np.float32], valid: NDArray[np.bool_], height: int, width: int
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Return the mean of (C, H, W) over the valid pixels, and the pixels (H, W) in which there is one."""
    weights = torch.from_numpy(valid.astype(np.float32))[None, None]
    inputs = torch.from_numpy(np.ascontiguousarray(values))[None]
    summed = F.interpolate(
        torch.cat((inputs * weights, weights), dim=1), size=(height, width), mode="bilinear", antialias=True
    )[0].numpy()
    share = summed[-1]
    return summed[:-1] / np.maximum(share, np.float32(1e-6)), share > 1e-3


def _nearest(codes: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    rows = _centres(height, codes.shape[0])
    return codes[rows[:, None], _centres(width, codes.shape[1])]


def _centres(size: int, source_size: int) -> NDArray[np.int64]:
    """Return the pixel of ``source_size`` that holds the centre of each of ``size`` pixels."""
    return ((2 * np.arange(size) + 1) * source_size) // (2 * size)
