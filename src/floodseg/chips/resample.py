"""Resampling of crops to another pixel size."""

from dataclasses import replace

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from floodseg.bands import Bands
from floodseg.chips.chip import Chip
from floodseg.config.train import AugmentConfig


def draw_source_size(config: AugmentConfig, rng: np.random.Generator) -> int:
    """Draw the size in pixels that a crop has before resampling: ``crop_size`` by 1 / ``zoom`` to ``zoom``.

    The factor is log-uniform. Nothing is drawn if ``zoom`` is 1.
    """
    if config.zoom == 1:
        return config.crop_size
    factor: float = config.zoom ** rng.uniform(-1, 1)
    return max(1, round(config.crop_size * factor))


def resample(chip: Chip, height: int, width: int, bands: Bands) -> Chip:
    """Return a chip resampled to another height and width, without georeference.

    Images are averaged over valid pixels; radar in dB is averaged as power. Label and validity take the nearest pixel.
    """
    in_db = bool(bands.sar) and bands.sar_unit == "db"
    sar, sar_valid = _resample_sensor(chip.sar, chip.sar_valid, height, width, in_power=in_db)
    optical, optical_valid = _resample_sensor(chip.optical, chip.optical_valid, height, width)
    return replace(
        chip, sar=sar, sar_valid=sar_valid, optical=optical, optical_valid=optical_valid,
        label=_nearest(chip.label, height, width), grid=None,
    )  # fmt: skip


def _resample_sensor(
    values: NDArray[np.float32], valid: NDArray[np.bool_], height: int, width: int, *, in_power: bool = False
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Return the image (C, H, W) of one sensor and its validity (H, W) at another size."""
    if not values.shape[0]:
        return np.empty((0, height, width), np.float32), np.zeros((height, width), np.bool_)
    values = np.where(valid, values, np.float32(0))
    mean, usable = _mean(np.power(np.float32(10), values / 10) if in_power else values, valid, height, width)
    if in_power:
        # power is above 0 in valid pixels; the bound is for invalid ones
        mean = 10 * np.log10(np.maximum(mean, np.float32(1e-20)))
    usable &= _nearest(valid.view(np.uint8), height, width).view(np.bool_)
    mean[:, ~usable] = 0
    return mean, usable


def _mean(
    values: NDArray[np.float32], valid: NDArray[np.bool_], height: int, width: int
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Return the mean (C, height, width) over valid pixels, and the mask (height, width) of defined means."""
    weights = torch.from_numpy(valid.astype(np.float32))[None, None]
    inputs = torch.from_numpy(np.ascontiguousarray(values))[None]
    summed = F.interpolate(
        torch.cat((inputs * weights, weights), dim=1), size=(height, width), mode="bilinear", antialias=True
    )[0].numpy()
    valid_share = summed[-1]
    return summed[:-1] / np.maximum(valid_share, np.float32(1e-6)), valid_share > 1e-3


def _nearest(codes: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    rows = _nearest_indices(height, codes.shape[0])
    return codes[rows[:, None], _nearest_indices(width, codes.shape[1])]


def _nearest_indices(size: int, source_size: int) -> NDArray[np.int64]:
    """Return the index of the source pixel under the centre of each of ``size`` pixels."""
    return ((2 * np.arange(size) + 1) * source_size) // (2 * size)
