"""Simulated images for parity checks: physical units, odd sizes, garbage at invalid pixels."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from floodseg.bands import L1C_BANDS, SAR_BANDS, BandStatistics
from floodseg.datasets.synthetic import EVENTS, simulate_scene
from floodseg.models.model import FloodModel
from floodseg.simulate.random_fields import power_law_field

SIZES = ((1, 64, 64), (2, 97, 131), (1, 255, 320), (1, 200, 1101))
"""Batch, height and width: the smallest, odd ones, and one over 1024 pixels, from where on attention pools."""
_GARBAGE = (np.nan, np.inf, -np.inf, 1e30, -9999.0)


@dataclass(frozen=True, slots=True)
class Batch:
    """Images (N, C, H, W) in physical units and validity (N, H, W); a missing sensor has no channels."""

    sar: NDArray[np.float32]
    optical: NDArray[np.float32]
    sar_valid: NDArray[np.bool_]
    optical_valid: NDArray[np.bool_]


def simulated_batches(model: FloodModel, multiple: int) -> Iterator[Batch]:
    """Yield a batch of each of :data:`SIZES`, rounded up to ``multiple``, with one or no valid sensor in patches."""
    for number, (count, height, width) in enumerate(SIZES):
        rows, columns = (-(-size // multiple) * multiple for size in (height, width))
        parts = [_sample(model, (number, index), rows, columns) for index in range(count)]
        yield Batch(*(np.stack(arrays) for arrays in zip(*parts, strict=True)))


def _sample(model: FloodModel, seed: tuple[int, int], height: int, width: int) -> tuple[NDArray[np.generic], ...]:
    rng = np.random.default_rng(seed)
    bands = model.spec.bands
    scene = simulate_scene(seed, height, width, sorted(EVENTS)[sum(seed) % len(EVENTS)])
    if bands.sar == SAR_BANDS and bands.sar_unit == "db":
        sar = scene.sar
    else:
        sar = _by_statistics(rng, model.normalise_sar.statistics(), height, width)
    if set(bands.optical) <= set(L1C_BANDS) and bands.optical_unit == "reflectance":
        optical = scene.optical[[L1C_BANDS.index(name) for name in bands.optical]]
    else:
        optical = _by_statistics(rng, model.normalise_optical.statistics(), height, width)
    sar_valid = _patches(rng, height, width) if bands.sar else np.zeros((height, width), np.bool_)
    optical_valid = _patches(rng, height, width) if bands.optical else np.zeros((height, width), np.bool_)
    if bands.sar and bands.optical and seed[1]:
        sar_valid[:] = False
    return _with_garbage(rng, sar, sar_valid), _with_garbage(rng, optical, optical_valid), sar_valid, optical_valid


def _by_statistics(
    rng: np.random.Generator, statistics: Sequence[BandStatistics], height: int, width: int
) -> NDArray[np.float32]:
    """Return smooth fields with noise (C, H, W) that have the mean and spread of the training data."""
    fields = [
        band.mean + band.std * (power_law_field(rng, height, width, -3.0) + 0.3 * rng.standard_normal((height, width)))
        for band in statistics
    ]
    return np.array(fields, np.float32).reshape(len(statistics), height, width)


def _patches(rng: np.random.Generator, height: int, width: int) -> NDArray[np.bool_]:
    """Return a mask (H, W) that is True on about four fifths, in patches of any size."""
    return power_law_field(rng, height, width, -2.5) > -0.85


def _with_garbage(
    rng: np.random.Generator, image: NDArray[np.float32], valid: NDArray[np.bool_]
) -> NDArray[np.float32]:
    """Return a copy of (C, H, W) with NaN, infinities and large numbers at invalid pixels."""
    garbage = rng.choice(np.array(_GARBAGE, np.float32), image.shape)
    return np.where(valid, image, garbage)
