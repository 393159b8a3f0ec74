"""What is done to a training chip: every draw comes from the random generator that is given."""

from typing import TypeVar, get_args

import numpy as np
from numpy.typing import NDArray

from floodseg.bands import IGNORE, band_date
from floodseg.chips.chip import Bands, ChipArrays
from floodseg.config.base import CloudMask
from floodseg.config.train import AugmentConfig
from floodseg.geo.grid import Window
from floodseg.simulate.clouds import cover_image, marked, simulate_sky

_QUALITIES: tuple[CloudMask, ...] = get_args(CloudMask)

SPECKLE_LOOKS = (8.0, 128.0)
"""Range of the looks of added speckle: from clearly grainier than ground-range products to hardly seen."""

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


def orient(target: ChipArrays, height: int, width: int, config: AugmentConfig, rng: np.random.Generator) -> ChipArrays:
    """Draw one of the eight flips and rotations; return the part of a crop where a chip is to be written.

    What is written to the views that this returns appears in ``target`` after the flip or rotation. A chip that is
    smaller than the crop is extended below and to the right, before it is turned, with invalid and ignored pixels.

    Args:
        target: arrays of ``crop_size`` pixels square.
        height: rows of the chip, at most ``crop_size``.
        width: its columns, at most ``crop_size``.
        config: says whether to flip.
        rng: source of the draw.
    """
    size = config.crop_size
    if height > size or width > size:
        raise ValueError(f"a crop of {height}x{width} pixels is larger than crop_size {size}")
    transform = int(rng.integers(8)) if config.flips else 0
    if (height, width) != (size, size):
        target.sar[:], target.optical[:], target.label[:] = 0, 0, IGNORE
        target.sar_valid[:], target.optical_valid[:] = False, False
    inverse = transform if transform >= 4 else -transform % 4  # a flip undoes itself
    return target.views(lambda array: dihedral(array, inverse)[..., :height, :width])


def dihedral(array: NDArray[_Number], transform: int) -> NDArray[_Number]:
    """Return a view of (..., H, W) after one of the eight flips and rotations.

    Args:
        array: what is turned.
        transform: 0 to 7; ``transform % 4`` quarter turns counter-clockwise, after a flip of the columns from 4 on.
    """
    view = array[..., ::-1] if transform >= 4 else array
    turns = transform % 4
    if turns >= 2:
        view = view[..., ::-1, ::-1]
    return view.swapaxes(-2, -1)[..., ::-1, :] if turns % 2 else view


def vary(
    crop: ChipArrays, bands: Bands, config: AugmentConfig, rng: np.random.Generator, epoch: int = 0
) -> NDArray[np.bool_] | None:
    """Change a crop in place: speckle, jitter of both sensors, cloud, the edge of a swath, and the loss of a sensor.

    Invalid pixels hold 0 then.

    Args:
        crop: what is changed, apart from its label.
        bands: their units say which jitter makes sense: offsets in dB are for SAR in dB alone.
        config: deviations and probabilities.
        rng: source of every draw.
        epoch: from 0, which decides how far the loss of sensors has risen.

    Returns:
        Where a simulated cloud or its shadow lies over optical pixels that stay valid, (H, W); None without a cloud.
    """
    hidden = None
    if config.sar_speckle > 0 and bands.sar_unit == "db" and rng.random() < config.sar_speckle:
        np.add(crop.sar, _speckle(crop.sar.shape, rng), out=crop.sar)
    if config.sar_jitter_db > 0 and bands.sar_unit == "db":
        np.add(crop.sar, _sar_offset(len(bands.sar), config.sar_jitter_db, rng), out=crop.sar)
    if config.optical_jitter > 0 and bands.optical:
        np.multiply(crop.optical, _optical_factor(bands, config.optical_jitter, rng), out=crop.optical)
    if config.cloud > 0 and rng.random() < config.cloud:
        hidden = _cover(crop, bands, config, rng)
    if config.swath_edge > 0 and rng.random() < config.swath_edge:
        _cut(crop, bands, rng)
    if config.drop_sensor > 0 and rng.random() < config.drop_sensor * _ramp(config.drop_sensor_ramp, epoch):
        _drop_sensor(crop, rng)
    for values, valid in ((crop.sar, crop.sar_valid), (crop.optical, crop.optical_valid)):
        if not valid.all():
            np.copyto(values, np.float32(0), where=~valid)
    return None if hidden is None else hidden & crop.optical_valid


def _ramp(epochs: int, epoch: int) -> float:
    """Return the share of its height that a ramp over ``epochs`` has in an epoch, from 0 on: 1 from its last on."""
    return min(1.0, (epoch + 1) / epochs) if epochs else 1.0


def _speckle(shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[np.float32]:
    """Draw fully developed speckle in dB: power is multiplied by a gamma variate of mean 1 (Ulaby & Dobson 1989).

    The number of looks, the inverse of its variance, is drawn evenly in its logarithm.
    """
    looks = float(np.exp(rng.uniform(*np.log(SPECKLE_LOOKS))))
    power = rng.standard_gamma(looks, size=shape, dtype=np.float32) / np.float32(looks)
    # a variate of few looks may come to 0
    decibels: NDArray[np.float32] = 10 * np.log10(np.maximum(power, np.float32(1e-6)))
    return decibels


def _sar_offset(bands: int, deviation: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """Draw a calibration offset in dB, (bands, 1, 1): one common to both polarisations, half as much to each alone."""
    common = rng.normal(0.0, deviation)
    alone = rng.normal(0.0, deviation / 2, size=(bands, 1, 1))
    offset: NDArray[np.float32] = (common + alone).astype(np.float32)
    return offset


def _optical_factor(bands: Bands, deviation: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """Draw the illumination of each band, (bands, 1, 1): one factor a date; log-normal, so that it stays above 0."""
    factors: dict[str, float] = {}
    for date in map(band_date, bands.optical):
        if date not in factors:
            factors[date] = float(np.exp(rng.normal(0.0, deviation)))
    return np.array([factors[band_date(band)] for band in bands.optical], np.float32)[:, None, None]


def _cover(crop: ChipArrays, bands: Bands, config: AugmentConfig, rng: np.random.Generator) -> NDArray[np.bool_] | None:
    """Lay a cloud over the optical image: what the cloud mask marks is invalid, the rest stays valid.

    Return where the ground is under cloud or in shadow, (H, W); None where there is no image to be covered.
    """
    if not crop.optical_valid.any():
        return None
    quality = config.cloud_mask_quality
    if quality == "mixed":
        quality = _QUALITIES[int(rng.integers(len(_QUALITIES)))]
    cloud = simulate_sky(rng, *crop.label.shape)
    crop.optical_valid[:] &= ~marked(cloud, quality)
    crop.optical[:] = cover_image(crop.optical, cloud, bands)
    return marked(cloud, "perfect")


def _cut(crop: ChipArrays, bands: Bands, rng: np.random.Generator) -> None:
    """Hide what lies beyond a straight line of any direction: up to half of the image of one of the sensors."""
    sensors = [valid for names, valid in ((bands.sar, crop.sar_valid), (bands.optical, crop.optical_valid)) if names]
    valid = sensors[int(rng.integers(len(sensors)))]
    angle, hidden = rng.uniform(0, 2 * np.pi), rng.uniform(0, 0.5)
    rows, columns = np.ogrid[: valid.shape[0], : valid.shape[1]]
    along = rows * np.sin(angle) + columns * np.cos(angle)
    valid[:] &= along >= np.quantile(along, hidden)


def _drop_sensor(crop: ChipArrays, rng: np.random.Generator) -> None:
    """Make all pixels of one sensor invalid, each half of the time, where both have valid pixels."""
    drops_sar = rng.random() < 0.5
    if crop.sar_valid.any() and crop.optical_valid.any():
        (crop.sar_valid if drops_sar else crop.optical_valid)[:] = False
