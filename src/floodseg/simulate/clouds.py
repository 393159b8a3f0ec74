"""Simulated clouds and their shadows, for simulated scenes and for augmentation of real optical imagery."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from floodseg.bands import L1C_BANDS, Bands, band_date
from floodseg.config.base import CloudMask
from floodseg.errors import ConfigError
from floodseg.simulate.random_fields import Field, padded_size, periodic_field, smooth

OPAQUE = 0.5
"""Opacity above which a cloud hides the ground, so that any cloud mask would mark the pixel."""

THIN = 0.1
"""Opacity above which a pixel is under cloud, and depth of a shadow above which it is in shadow, in a perfect mask."""

DN_PER_REFLECTANCE = 300.0
"""Digital numbers of layout ombria for a reflectance of 1. Ground there has medians of 26 to 76, and thick real clouds
have about 190, 190 and 130 in B03, B08 and B11: with this number both have common reflectances of Sentinel-2."""

SPECTRAL_SLOPES = (-11 / 3, -8 / 3)
"""Range of the spectral exponent. Transects of cloud water fall as k^-5/3 (Cahalan & Snider 1989), that is k^-8/3 in
two dimensions; radiance is smoother below some 200 m (Marshak et al. 1995)."""

DEPTH_PER_DEVIATION = (2.0, 5.0)
"""Range of the logarithmic change of optical depth per standard deviation of the field: optical depth is close to
lognormal (Barker et al. 1996), and the larger the number, the sharper the edges."""

CLOUD_REFLECTANCE = {
    "B01": 0.66, "B02": 0.65, "B03": 0.63, "B04": 0.64, "B05": 0.65, "B06": 0.66, "B07": 0.66, "B08": 0.65,
    "B8A": 0.65, "B09": 0.34, "B10": 0.022, "B11": 0.40, "B12": 0.28,
}  # fmt: skip
"""Top-of-atmosphere reflectance of opaque cloud: nearly white, darker where ice and drops absorb (B11, B12) and where
water vapour above the cloud does (B09, B10)."""

DIRECT_LIGHT = {
    "B01": 0.42, "B02": 0.50, "B03": 0.60, "B04": 0.67, "B05": 0.69, "B06": 0.72, "B07": 0.74, "B08": 0.75,
    "B8A": 0.76, "B09": 0.76, "B10": 0.0, "B11": 0.84, "B12": 0.86,
}  # fmt: skip
"""Share of a band's reflectance that a full shadow takes away: the sky goes on lighting the ground in the blue."""

VEIL_SHARE = 0.5
"""Share of skies with thin clouds only: the ground is visible through the thickest."""

VEIL_PEAK = (0.3, 0.9)
"""Range of the highest opacity of a sky with thin clouds only."""

_CLEAR_BELOW = 0.02
"""Opacity below which the sky is clear; the logistic curve itself never gets to 0."""


@dataclass(frozen=True, slots=True)
class Cloud:
    """A cloud layer over an image of H rows and W columns, and the shadow that it casts."""

    opacity: NDArray[np.float32]
    """(H, W), 0 clear to 1 opaque; pixels above 0.5 count as cloud."""
    shadow: NDArray[np.float32]
    """(H, W), 0 in full light to 1 in full shadow, also where the cloud itself hides it."""


def simulate_cloud(
    rng: np.random.Generator, height: int, width: int, cover: float | None = None, edge: float = OPAQUE
) -> Cloud:
    """Draw a cloud layer with thin edges and thick cores, from small clouds to an overcast sky.

    A Gaussian field with a power-law spectrum is the logarithm of scaled optical depth d, opacity is d / (1 + d), the
    albedo of a layer that scatters and does not absorb (two streams; Bohren 1987). The shadow is the same layer
    displaced and softened. Clouds beyond the image cast shadows into it.

    Args:
        rng: Source of randomness; equal states give equal clouds.
        height: Rows.
        width: Columns.
        cover: Share of pixels with opacity above ``edge``, from 0 to 1, met to one pixel; None draws it from a U-shaped
            distribution, as observed cover is mostly near 0 or near 1. With equal states a larger cover holds the
            smaller one.
        edge: Opacity at which a cloud begins to count as cover, above 0 and below 1; the lower, the thinner the clouds.

    Raises:
        ConfigError: If ``cover`` is below 0 or above 1.
    """
    if cover is None:
        cover = float(rng.beta(0.7, 1.0))
    if not 0 <= cover <= 1:
        raise ConfigError(f"cloud cover {cover}: must be from 0 (clear) to 1 (overcast)")
    cloudy = round(cover * height * width)
    if cloudy == 0:
        clear = np.zeros((height, width), dtype=np.float32)
        return Cloud(opacity=clear, shadow=clear.copy())
    field = periodic_field(
        rng, padded_size(height), padded_size(width), rng.uniform(*SPECTRAL_SLOPES), outer_scale=max(height, width)
    )
    # Light that spreads sideways inside the cloud blurs its finest detail.
    field = smooth(field, 0.25)
    contrast = rng.uniform(*DEPTH_PER_DEVIATION)
    shift = _shadow_shift(rng, height, width)
    depth = contrast * (field - np.float32(_level(field[:height, :width], cloudy))) + np.float32(_logit(edge))
    layer = 1 / (1 + np.exp(-depth))
    layer[layer < _CLEAR_BELOW] = 0
    # The field is periodic, so rolling it brings in what lies beyond the image.
    shadow = np.roll(layer, shift, axis=(0, 1))[:height, :width]
    for _ in range(2):
        shadow = smooth(shadow, 0.25)
    return Cloud(opacity=layer[:height, :width].copy(), shadow=shadow)


def simulate_sky(rng: np.random.Generator, height: int, width: int, cover: float | None = None) -> Cloud:
    """Draw a random cloud layer: clouds with thick cores, or thin ones through which the ground is visible.

    Arguments are those of ``simulate_cloud``; ``cover`` is the share of pixels with an opacity above THIN.
    """
    peak = float(rng.uniform(*VEIL_PEAK)) if rng.random() < VEIL_SHARE else 1.0
    cloud = simulate_cloud(rng, height, width, cover, edge=THIN / peak)
    return Cloud(opacity=np.float32(peak) * cloud.opacity, shadow=np.float32(peak) * cloud.shadow)


def _level(field: Field, above: int) -> float:
    """Return a value that exactly ``above`` of the field's numbers exceed, ties aside; ``above`` is at least 1."""
    if above == field.size:
        return float(field.min()) - 1e-3
    flat = field.ravel().astype(np.float64)
    order = np.partition(flat, (flat.size - above - 1, flat.size - above))
    return float(order[flat.size - above - 1] + order[flat.size - above]) / 2


def _logit(share: float) -> float:
    return math.log(share) - math.log1p(-share)


def _shadow_shift(rng: np.random.Generator, height: int, width: int) -> tuple[int, int]:
    """Draw where the shadow falls, in rows and columns: away from a sun in the south-east or south-west."""
    azimuth = rng.uniform(-0.25 * np.pi, 0.25 * np.pi)
    length = rng.uniform(0.04, 0.16) * min(height, width, 400)
    return -round(length * float(np.cos(azimuth))), round(length * float(np.sin(azimuth)))


def apply_cloud(optical: NDArray[np.float32], cloud: Cloud, band_names: Sequence[str]) -> NDArray[np.float32]:
    """Return optical imagery as it would look under ``cloud``; the input is left alone.

    Shadow takes away direct light, then opacity blends toward cloud: bright and nearly white, brighter where thick,
    darker in the short-wave infrared; the cirrus band B10 rises.

    Args:
        optical: (C, H, W) reflectance. Every pixel is treated; invalid ones are the caller's to keep apart.
        cloud: Layer on the same H rows and W columns.
        band_names: Canonical names of the C bands.

    Raises:
        ConfigError: If a band is unknown, or the shapes of imagery, cloud and names differ.
    """
    unknown = [name for name in band_names if name not in CLOUD_REFLECTANCE]
    if unknown:
        raise ConfigError(f"bands {unknown}: simulated cloud knows the Sentinel-2 bands {', '.join(L1C_BANDS)} only")
    expected = (len(band_names), *cloud.opacity.shape)
    if optical.shape != expected:
        raise ConfigError(f"optical imagery has shape {optical.shape}: bands and cloud need {expected}")
    white = np.array([CLOUD_REFLECTANCE[name] for name in band_names], dtype=np.float32)[:, None, None]
    direct = np.array([DIRECT_LIGHT[name] for name in band_names], dtype=np.float32)[:, None, None]
    lit = optical * (1 - direct * cloud.shadow)
    brightness = white * (0.6 + 0.4 * cloud.opacity)
    return np.asarray(lit + cloud.opacity * (brightness - lit), dtype=np.float32)


def cloud_mask(cloud: Cloud, quality: CloudMask) -> NDArray[np.bool_]:
    """Return a cloud mask of some quality, (H, W) bool, True for cloud.

    ``perfect`` holds every pixel under cloud or in shadow (above THIN), ``thin-missed`` opaque cloud only, as many
    masks do, and ``none`` nothing, as for an image without a mask.
    """
    if quality == "none":
        return np.zeros(cloud.opacity.shape, np.bool_)
    if quality == "thin-missed":
        return cloud.opacity > OPAQUE
    return (cloud.opacity > THIN) | (cloud.shadow > THIN)


def clouded_channels(bands: Bands) -> list[int]:
    """Return the optical channels with simulated clouds: of two dates those of the later one.

    An image of before the flood is chosen from an archive for its clear sky.
    """
    return [index for index, name in enumerate(bands.optical) if band_date(name) != "before"]


def cover_image(optical: NDArray[np.float32], cloud: Cloud, bands: Bands) -> NDArray[np.float32]:
    """Return an optical image (C, H, W), in the unit of ``bands``, as it would look under ``cloud``.

    Digital numbers are reflectance times DN_PER_REFLECTANCE, rounded and at most 255; see ``apply_cloud``.
    """
    channels = clouded_channels(bands)
    names = [bands.optical[index].removesuffix("_after") for index in channels]
    result = optical.copy()
    if bands.optical_unit == "dn":
        clouded = DN_PER_REFLECTANCE * apply_cloud(optical[channels] / np.float32(DN_PER_REFLECTANCE), cloud, names)
        result[channels] = np.clip(np.rint(clouded), 0, 255)
    else:
        result[channels] = apply_cloud(optical[channels], cloud, names)
    return result
