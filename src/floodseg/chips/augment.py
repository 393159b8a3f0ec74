"""Random crops and augmentation of training chips, drawn from the caller's random generator."""

from typing import TypeVar, get_args

import numpy as np
from numpy.typing import NDArray

from floodseg.bands import IGNORE, WAVELENGTHS, Bands, band_date
from floodseg.chips.chip import Chip
from floodseg.config.base import CloudMaskQuality
from floodseg.config.train import AugmentConfig
from floodseg.geo.grid import Window
from floodseg.simulate.clouds import cloud_mask, cover_image, simulate_sky
from floodseg.simulate.random_fields import power_law_field

_MASK_QUALITIES: tuple[CloudMaskQuality, ...] = get_args(CloudMaskQuality)

SPECKLE_LOOKS = (8.0, 128.0)
"""Smallest and largest number of looks of added speckle. 8 is stronger than in GRD products, 128 hardly visible."""

PATH_REFLECTANCE = (-0.02, 0.11)
"""Smallest and largest path reflectance in the blue band B02. Below 0, the atmosphere was corrected too much."""
PATH_EXPONENTS = (1.5, 4.0)
"""Smallest and largest e in ``wavelength ** -e``, by which path reflectance falls: large particles to clear air."""

SHADOW_LEVEL = (0.0, 2.0)
"""Smallest and largest threshold, in standard deviations of a random field, above which it is shadow.

0 makes half of a crop shadow, 2 only little of it."""
SHADOW_STEEPNESS = 4.0
"""Steepness of the edge of a shadow, for each standard deviation of the field."""
SHADOW_LIGHT = (0.25, 0.6)
"""Smallest and largest share of light that the sky sends into a shadow, in the blue band B02."""
SHADOW_EXPONENTS = (0.3, 1.0)
"""Smallest and largest e in ``wavelength ** -e``, by which the light in a shadow falls."""

_Number = TypeVar("_Number", bound=np.generic)


def choose_crop(label: NDArray[np.uint8], size: int, tries: int, rng: np.random.Generator) -> Window:
    """Draw a square window of ``size`` pixels with many labelled pixels.

    Return the first of at most ``tries`` windows with labels on at least half of its pixels. If there is none, return
    the window with the most labelled pixels.

    Args:
        label: (H, W), codes 0, 1 and 255.
        size: height and width of the window; a smaller chip is taken completely.
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


def augment_crop(
    crop: Chip, bands: Bands, config: AugmentConfig, rng: np.random.Generator, epoch: int = 0
) -> tuple[Chip, NDArray[np.bool_] | None]:
    """Return an augmented copy of a crop, ``crop_size`` pixels square.

    The steps, in this order: padding of a smaller crop at the bottom and right with invalid and ignored pixels, one of
    the eight flips and rotations, speckle, jitter of both sensors, shadows, a change of the processing level, a cloud,
    a swath edge, dropping of a sensor. Invalid pixels of the result are 0. The result has no georeference.

    Args:
        crop: at most ``crop_size`` pixels high and wide.
        bands: bands and units of the crop; speckle and radar jitter apply only to radar in dB.
        config: standard deviations and probabilities of the steps.
        rng: source of all random numbers.
        epoch: from 0; the probability of dropping a sensor rises until epoch ``drop_sensor_ramp``.

    Returns:
        The augmented crop, and the mask (H, W) of valid optical pixels under a simulated cloud or its shadow (None
        without a cloud).

    Raises:
        ValueError: the crop is larger than ``crop_size``.
    """
    size = config.crop_size
    height, width = crop.label.shape
    if height > size or width > size:
        raise ValueError(f"a crop of {height}x{width} pixels is larger than crop_size {size}")
    transform = int(rng.integers(8)) if config.flips else 0
    crop = Chip(
        name=crop.name,
        event=crop.event,
        sar=_pad_and_rotate(crop.sar, size, 0, transform),
        optical=_pad_and_rotate(crop.optical, size, 0, transform),
        sar_valid=_pad_and_rotate(crop.sar_valid, size, False, transform),
        optical_valid=_pad_and_rotate(crop.optical_valid, size, False, transform),
        label=_pad_and_rotate(crop.label, size, IGNORE, transform),
        grid=None,
    )
    return crop, _augment_pixels(crop, bands, config, rng, epoch)


def _pad_and_rotate(array: NDArray[_Number], size: int, fill: int, transform: int) -> NDArray[_Number]:
    """Return a copy of (..., H, W), padded to ``size`` with ``fill``, then flipped and rotated."""
    height, width = array.shape[-2:]
    if (height, width) != (size, size):
        padding = [(0, 0)] * (array.ndim - 2) + [(0, size - height), (0, size - width)]
        array = np.pad(array, padding, constant_values=fill)
    return np.array(dihedral(array, transform), order="C")


def dihedral(array: NDArray[_Number], transform: int) -> NDArray[_Number]:
    """Return a view of (..., H, W) after one of the eight flips and rotations.

    Args:
        array: bands or a mask.
        transform: 0 to 7: ``transform % 4`` quarter turns counter-clockwise; from 4 on, the columns are flipped first.
    """
    view = array[..., ::-1] if transform >= 4 else array
    turns = transform % 4
    if turns >= 2:
        view = view[..., ::-1, ::-1]
    return view.swapaxes(-2, -1)[..., ::-1, :] if turns % 2 else view


def _augment_pixels(
    crop: Chip, bands: Bands, config: AugmentConfig, rng: np.random.Generator, epoch: int
) -> NDArray[np.bool_] | None:
    """Augment the pixels of a crop in place; return the mask of cloud and shadow, see ``augment_crop``."""
    clouded = None
    if config.sar_speckle > 0 and bands.sar_unit == "db" and rng.random() < config.sar_speckle:
        np.add(crop.sar, _speckle(crop.sar.shape, rng), out=crop.sar)
    if config.sar_jitter_db > 0 and bands.sar_unit == "db":
        np.add(crop.sar, _sar_offset(len(bands.sar), config.sar_jitter_db, rng), out=crop.sar)
    if config.optical_jitter > 0 and bands.optical:
        np.multiply(crop.optical, _optical_factor(bands, config.optical_jitter, rng), out=crop.optical)
    if config.optical_shadow > 0 and rng.random() < config.optical_shadow:
        crop.optical[:] *= _shadow(bands, config.crop_size, config.crop_size, rng)
    if config.optical_level > 0 and rng.random() < config.optical_level:
        path = _path_reflectance(bands, rng)
        # what the air scatters back does not reach the ground
        crop.optical[:] = crop.optical * (1 - np.maximum(path, 0)) + path
    if config.cloud > 0 and rng.random() < config.cloud:
        clouded = _add_cloud(crop, bands, config, rng)
    if config.swath_edge > 0 and rng.random() < config.swath_edge:
        _cut_swath(crop, bands, rng)
    if config.drop_sensor > 0 and rng.random() < config.drop_sensor * _ramp(config.drop_sensor_ramp, epoch):
        _drop_sensor(crop, rng)
    for values, valid in ((crop.sar, crop.sar_valid), (crop.optical, crop.optical_valid)):
        if not valid.all():
            np.copyto(values, np.float32(0), where=~valid)
    return None if clouded is None else clouded & crop.optical_valid


def _ramp(epochs: int, epoch: int) -> float:
    """Return the value of a linear ramp in an epoch (from 0): it reaches 1 after ``epochs`` epochs."""
    return min(1.0, (epoch + 1) / epochs) if epochs else 1.0


def _speckle(shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[np.float32]:
    """Draw fully developed speckle in dB: power is multiplied by a gamma variate of mean 1 (Ulaby & Dobson 1989).

    The number of looks, which is the inverse of the variance, is log-uniform.
    """
    looks = float(np.exp(rng.uniform(*np.log(SPECKLE_LOOKS))))
    power = rng.standard_gamma(looks, size=shape, dtype=np.float32) / np.float32(looks)
    # a variate of few looks can be 0, which has no logarithm
    decibels: NDArray[np.float32] = 10 * np.log10(np.maximum(power, np.float32(1e-6)))
    return decibels


def _sar_offset(bands: int, deviation: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """Draw an offset in dB, (bands, 1, 1): one for all bands, plus one for each band with half the deviation."""
    common = rng.normal(0.0, deviation)
    separate = rng.normal(0.0, deviation / 2, size=(bands, 1, 1))
    offset: NDArray[np.float32] = (common + separate).astype(np.float32)
    return offset


def _optical_factor(bands: Bands, deviation: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """Draw the illumination of each band, (bands, 1, 1): one log-normal factor for each date."""
    factors: dict[str, float] = {}
    for date in map(band_date, bands.optical):
        if date not in factors:
            factors[date] = float(np.exp(rng.normal(0.0, deviation)))
    return np.array([factors[band_date(band)] for band in bands.optical], np.float32)[:, None, None]


def _shadow(bands: Bands, height: int, width: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Draw the light that reaches each pixel in each band, (bands, H, W): 1 outside of shadows, less inside.

    Inside, only the sky lights the ground. Skylight is blue, so shadow looks more like water than dark ground does.
    """
    light, exponent = rng.uniform(*SHADOW_LIGHT), rng.uniform(*SHADOW_EXPONENTS)
    field = power_law_field(rng, height, width, -3.0)
    inside = 1 / (1 + np.exp(-SHADOW_STEEPNESS * (field - rng.uniform(*SHADOW_LEVEL))))
    wavelengths = np.array([WAVELENGTHS[band] for band in bands.optical])
    sky = light * (wavelengths / WAVELENGTHS["B02"]) ** -exponent
    lit: NDArray[np.float32] = (1 - inside * (1 - sky[:, None, None])).astype(np.float32)
    return lit


def _path_reflectance(bands: Bands, rng: np.random.Generator) -> NDArray[np.float32]:
    """Draw the reflectance that scattering in the air adds to each band, (bands, 1, 1); it can be negative.

    It falls with wavelength to the power of -4 in clear air (Rayleigh) and more slowly in haze (Angstrom 1929).
    """
    blue, exponent = rng.uniform(*PATH_REFLECTANCE), rng.uniform(*PATH_EXPONENTS)
    wavelengths = np.array([WAVELENGTHS[band] for band in bands.optical])
    path: NDArray[np.float32] = (blue * (wavelengths / WAVELENGTHS["B02"]) ** -exponent).astype(np.float32)
    return path[:, None, None]


def _add_cloud(crop: Chip, bands: Bands, config: AugmentConfig, rng: np.random.Generator) -> NDArray[np.bool_] | None:
    """Draw a cloud over the optical image; pixels of the simulated cloud mask become invalid.

    Return the mask (H, W) of cloud and shadow, or None if the crop has no valid optical pixel.
    """
    if not crop.optical_valid.any():
        return None
    quality = config.cloud_mask_quality
    if quality == "mixed":
        quality = _MASK_QUALITIES[int(rng.integers(len(_MASK_QUALITIES)))]
    cloud = simulate_sky(rng, *crop.label.shape)
    crop.optical_valid[:] &= ~cloud_mask(cloud, quality)
    crop.optical[:] = cover_image(crop.optical, cloud, bands)
    return cloud_mask(cloud, "perfect")


def _cut_swath(crop: Chip, bands: Bands, rng: np.random.Generator) -> None:
    """Make the pixels of one sensor beyond a random straight line invalid: at most half of the image."""
    sensors = [valid for names, valid in ((bands.sar, crop.sar_valid), (bands.optical, crop.optical_valid)) if names]
    valid = sensors[int(rng.integers(len(sensors)))]
    angle, share = rng.uniform(0, 2 * np.pi), rng.uniform(0, 0.5)
    rows, columns = np.ogrid[: valid.shape[0], : valid.shape[1]]
    distance = rows * np.sin(angle) + columns * np.cos(angle)
    valid[:] &= distance >= np.quantile(distance, share)


def _drop_sensor(crop: Chip, rng: np.random.Generator) -> None:
    """Make all pixels of a random sensor invalid, if both sensors have valid pixels. Both are equally likely."""
    drops_sar = rng.random() < 0.5
    if crop.sar_valid.any() and crop.optical_valid.any():
        (crop.sar_valid if drops_sar else crop.optical_valid)[:] = False
