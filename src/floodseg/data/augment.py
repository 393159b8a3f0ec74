"""What is done to a training chip, as pure functions of the chip and a random generator."""

from dataclasses import replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from floodseg.bands import IGNORE, band_date
from floodseg.config import AugmentConfig
from floodseg.data.chip import Bands, Chip
from floodseg.data.clouds import OPAQUE, apply_cloud, simulate_cloud
from floodseg.grid import Window

_Number = TypeVar("_Number", bound=np.generic)


def choose_crop(label: NDArray[np.uint8], size: int, tries: int, rng: np.random.Generator) -> Window:
    """Draw a square window of ``size`` pixels, at most ``tries`` times, and prefer labelled pixels.

    The first with at least half of its pixels labelled is taken, else the best of all.

    Args:
        label: (H, W), codes 0, 1 and 255.
        size: height and width of the window; a chip that is smaller gives its whole extent.
        tries: largest number of windows drawn.
        rng: source of the positions.
    """
    height, width = min(size, label.shape[0]), min(size, label.shape[1])
    best, most = Window(0, 0, height, width), -1
    for _ in range(tries):
        top = int(rng.integers(label.shape[0] - height + 1))
        left = int(rng.integers(label.shape[1] - width + 1))
        labelled = int(np.count_nonzero(label[top : top + height, left : left + width] != IGNORE))
        if labelled > most:
            best, most = Window(top, left, height, width), labelled
        if 2 * labelled >= height * width:
            break
    return best


def augment(chip: Chip, bands: Bands, config: AugmentConfig, rng: np.random.Generator) -> Chip:
    """Return an augmented copy of a crop, ``crop_size`` pixels square, without georeference.

    In this order: padding with invalid and ignored pixels where the chip is smaller, one of the eight flips and
    rotations, jitter of both sensors, cloud, and the loss of a sensor. Invalid pixels hold 0 afterwards.

    Args:
        chip: at most ``crop_size`` pixels high and wide.
        bands: its units say which jitter makes sense: offsets in dB are for SAR in dB alone, and simulated clouds
            for reflectance alone.
        config: sizes, deviations and probabilities.
        rng: source of every draw.
    """
    result = _pad(chip, config.crop_size)
    if config.flips:
        result = dihedral(result, int(rng.integers(8)))
    if config.sar_jitter_db > 0 and bands.sar_unit == "db":
        result = _jitter_sar(result, config.sar_jitter_db, rng)
    if config.optical_jitter > 0 and bands.optical:
        result = _jitter_optical(result, bands, config.optical_jitter, rng)
    if config.cloud > 0 and bands.optical_unit == "reflectance" and rng.random() < config.cloud:
        result = _cover(result, bands, rng)
    if config.drop_sensor > 0 and rng.random() < config.drop_sensor:
        result = _drop_sensor(result, rng)
    return replace(
        result,
        sar=np.where(result.sar_valid, result.sar, np.float32(0)),
        optical=np.where(result.optical_valid, result.optical, np.float32(0)),
        grid=None,
    )


def dihedral(chip: Chip, transform: int) -> Chip:
    """Return a square chip after one of the eight flips and rotations.

    Args:
        chip: H equal to W.
        transform: 0 to 7; ``transform % 4`` quarter turns counter-clockwise, after a flip of the columns from 4 on.
    """
    turns, flipped = transform % 4, transform >= 4
    return replace(
        chip,
        sar=_turn(chip.sar, turns, flipped),
        optical=_turn(chip.optical, turns, flipped),
        sar_valid=_turn(chip.sar_valid, turns, flipped),
        optical_valid=_turn(chip.optical_valid, turns, flipped),
        label=_turn(chip.label, turns, flipped),
        grid=None,
    )


def _turn(array: NDArray[_Number], turns: int, flipped: bool) -> NDArray[_Number]:
    """Flip columns, then turn the last two axes."""
    return np.ascontiguousarray(np.rot90(array[..., ::-1] if flipped else array, turns, axes=(-2, -1)))


def _pad(chip: Chip, size: int) -> Chip:
    """Extend a chip below and to the right to ``size`` pixels, with invalid and ignored pixels."""
    height, width = chip.label.shape
    if height > size or width > size:
        raise ValueError(f"a crop of {height}x{width} pixels is larger than crop_size {size}")
    if (height, width) == (size, size):
        return chip
    edge = ((0, size - height), (0, size - width))
    return replace(
        chip,
        sar=np.pad(chip.sar, ((0, 0), *edge)),
        optical=np.pad(chip.optical, ((0, 0), *edge)),
        sar_valid=np.pad(chip.sar_valid, edge),
        optical_valid=np.pad(chip.optical_valid, edge),
        label=np.pad(chip.label, edge, constant_values=IGNORE),
    )


def _jitter_sar(chip: Chip, deviation: float, rng: np.random.Generator) -> Chip:
    """Add a calibration offset in dB: one common to both polarisations, and half as much to each alone."""
    common = rng.normal(0.0, deviation)
    alone = rng.normal(0.0, deviation / 2, size=(len(chip.sar), 1, 1))
    return replace(chip, sar=chip.sar + (common + alone).astype(np.float32))


def _jitter_optical(chip: Chip, bands: Bands, deviation: float, rng: np.random.Generator) -> Chip:
    """Multiply all optical bands of a date by one illumination factor; log-normal, so that it stays above 0."""
    factors: dict[str, float] = {}
    for date in map(band_date, bands.optical):
        if date not in factors:
            factors[date] = float(np.exp(rng.normal(0.0, deviation)))
    by_band = np.array([factors[band_date(band)] for band in bands.optical], np.float32)
    return replace(chip, optical=chip.optical * by_band[:, None, None])


def _cover(chip: Chip, bands: Bands, rng: np.random.Generator) -> Chip:
    """Lay a cloud over the optical image: what it hides is invalid, thin cloud and shadow stay valid."""
    if not chip.optical_valid.any():
        return chip
    cloud = simulate_cloud(rng, *chip.label.shape)
    visible = chip.optical_valid & (cloud.opacity <= OPAQUE)
    return replace(chip, optical=apply_cloud(chip.optical, cloud, bands.optical), optical_valid=visible)


def _drop_sensor(chip: Chip, rng: np.random.Generator) -> Chip:
    """Make all pixels of one sensor invalid, each half of the time, where both have valid pixels."""
    drops_sar = rng.random() < 0.5
    if not (chip.sar_valid.any() and chip.optical_valid.any()):
        return chip
    if drops_sar:
        return replace(chip, sar_valid=np.zeros_like(chip.sar_valid))
    return replace(chip, optical_valid=np.zeros_like(chip.optical_valid))
