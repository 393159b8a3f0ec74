"""Simulated images for parity checks: physical units, odd sizes, garbage at invalid pixels."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from floodseg.bands import L1C_BANDS, SAR_BANDS, BandStatistics
from floodseg.datasets.synthetic import EVENTS, simulate_scene
from floodseg.models.multi_sensor import AnyModel, model_for
from floodseg.simulate.random_fields import power_law_field

SIZES = ((64, 64), (97, 131), (255, 320), (200, 1101))
"""Height and width: the smallest size, odd sizes, and one above 1024 pixels, at which attention pools its keys."""
_GARBAGE = (np.nan, np.inf, -np.inf, 1e30, -9999.0)


@dataclass(frozen=True, slots=True)
class Batch:
    """Images (N, C, H, W) in physical units and validity (N, H, W); a missing sensor has no channels."""

    sar: NDArray[np.float32]
    optical: NDArray[np.float32]
    sar_valid: NDArray[np.bool_]
    optical_valid: NDArray[np.bool_]


def simulated_batches(model: AnyModel, multiple: int) -> Iterator[Batch]:
    """Yield one image of each of :data:`SIZES`, rounded up to ``multiple``.

    Each sensor is invalid in patches, so that every combination of valid sensors occurs.
    """
    for number, size in enumerate(SIZES):
        height, width = (-(-side // multiple) * multiple for side in size)
        yield _simulated_batch(model, number, height, width)


def _simulated_batch(model: AnyModel, number: int, height: int, width: int) -> Batch:
    seed = number, 0
    rng = np.random.default_rng(seed)
    bands = model.spec.bands
    scene = simulate_scene(seed, height, width, sorted(EVENTS)[number % len(EVENTS)])
    if bands.sar == SAR_BANDS and bands.sar_unit == "db":
        sar = scene.sar
    else:
        sar = _random_image(rng, model_for(model, "sar").normalise_sar.statistics(), height, width)
    if set(bands.optical) <= set(L1C_BANDS) and bands.optical_unit == "reflectance":
        optical = scene.optical[[L1C_BANDS.index(name) for name in bands.optical]]
    else:
        optical = _random_image(rng, model_for(model, "optical").normalise_optical.statistics(), height, width)
    sar_valid = _random_mask(rng, height, width) if bands.sar else np.zeros((height, width), np.bool_)
    optical_valid = _random_mask(rng, height, width) if bands.optical else np.zeros((height, width), np.bool_)
    sar, optical = _with_garbage(rng, sar, sar_valid), _with_garbage(rng, optical, optical_valid)
    return Batch(sar[None], optical[None], sar_valid[None], optical_valid[None])


def _random_image(
    rng: np.random.Generator, statistics: Sequence[BandStatistics], height: int, width: int
) -> NDArray[np.float32]:
    """Return smooth fields with noise (C, H, W), with the mean and standard deviation of the training data."""
    fields = [
        band.mean + band.std * (power_law_field(rng, height, width, -3.0) + 0.3 * rng.standard_normal((height, width)))
        for band in statistics
    ]
    return np.array(fields, np.float32).reshape(len(statistics), height, width)


def _random_mask(rng: np.random.Generator, height: int, width: int) -> NDArray[np.bool_]:
    """Return a mask (H, W) of patches that is True on about four fifths of the pixels."""
    return power_law_field(rng, height, width, -2.5) > -0.85


def _with_garbage(
    rng: np.random.Generator, image: NDArray[np.float32], valid: NDArray[np.bool_]
) -> NDArray[np.float32]:
    """Return a copy of an image (C, H, W) with NaN, infinities and large numbers at invalid pixels."""
    garbage = rng.choice(np.array(_GARBAGE, np.float32), image.shape)
    return np.where(valid, image, garbage)
