"""Simulated clouds and cloud shadows, for simulated scenes and for augmentation of real optical images."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from floodseg.bands import L1C_BANDS, Bands, band_date
from floodseg.config.base import CloudMaskQuality
from floodseg.errors import ConfigError
from floodseg.simulate.random_fields import Field, padded_size, periodic_field, smooth

OPAQUE = 0.5
"""Opacity above which a cloud hides the ground and every cloud mask marks the pixel."""

THIN = 0.1
"""Opacity or shadow depth above which a perfect mask marks a pixel."""

DN_PER_REFLECTANCE = 300.0
"""Digital number of reflectance 1 in layout ombria. Its ground has medians of 26 to 76, its thick clouds about 190, 190
and 130 in B03, B08 and B11; with this scale both have typical Sentinel-2 reflectances."""

SPECTRAL_SLOPES = (-11 / 3, -8 / 3)
"""Range of the spectral exponent in two dimensions. Spectra of cloud water along transects follow k^-5/3 (Cahalan &
Snider 1989), which is k^-8/3 in two dimensions; radiance is smoother below about 200 m (Marshak et al. 1995)."""

DEPTH_PER_DEVIATION = (2.0, 5.0)
"""Range of the change of log optical depth per standard deviation of the field. Optical depth is roughly lognormal
(Barker et al. 1996). Larger values give sharper edges."""

CLOUD_REFLECTANCE = {
    "B01": 0.66, "B02": 0.65, "B03": 0.63, "B04": 0.64, "B05": 0.65, "B06": 0.66, "B07": 0.66, "B08": 0.65,
    "B8A": 0.65, "B09": 0.34, "B10": 0.022, "B11": 0.40, "B12": 0.28,
}  # fmt: skip
"""Top-of-atmosphere reflectance of opaque cloud: nearly white, darker in bands that ice and drops absorb (B11, B12) and
in bands that water vapour above the cloud absorbs (B09, B10)."""

DIRECT_LIGHT = {
    "B01": 0.42, "B02": 0.50, "B03": 0.60, "B04": 0.67, "B05": 0.69, "B06": 0.72, "B07": 0.74, "B08": 0.75,
    "B8A": 0.76, "B09": 0.76, "B10": 0.0, "B11": 0.84, "B12": 0.86,
}  # fmt: skip
"""Share of a band's reflectance that a full shadow removes; diffuse sky light remains, mostly in the blue bands."""

VEIL_SHARE = 0.5
"""Share of skies with only thin clouds, through which the ground is visible."""

VEIL_PEAK = (0.3, 0.9)
"""Range of the maximum opacity of a sky with only thin clouds."""

_CLEAR_BELOW = 0.02
"""Opacity below which the sky is clear; the logistic curve never reaches 0."""


@dataclass(frozen=True, slots=True)
class Cloud:
    """A cloud layer over an image (H, W), and its shadow."""

    opacity: NDArray[np.float32]
    """(H, W), 0 clear to 1 opaque."""
    shadow: NDArray[np.float32]
    """(H, W), 0 full light to 1 full shadow, including shadow under the cloud."""


def simulate_cloud(
    rng: np.random.Generator, height: int, width: int, cover: float | None = None, edge: float = OPAQUE
) -> Cloud:
    """Draw a random cloud layer with thin edges and thick cores.

    The logarithm of the scaled optical depth d is a Gaussian field with a power-law spectrum. Opacity is d / (1 + d),
    the albedo of a layer that scatters and does not absorb (two-stream approximation; Bohren 1987). The shadow is the
    same layer, shifted and smoothed. Clouds outside the image cast shadows into it.

    Args:
        rng: random generator; equal states give equal clouds.
        height: number of rows.
        width: number of columns.
        cover: share of pixels with opacity above ``edge``, 0 to 1, exact to one pixel; None draws it from a U-shaped
            distribution, because observed cover is mostly near 0 or 1. With equal states, a larger cover contains a
            smaller one.
        edge: opacity above which a pixel counts as covered, above 0 and below 1; lower values give thinner clouds.

    Raises:
        ConfigError: ``cover`` is below 0 or above 1.
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
    # Scattering inside the cloud blurs its finest detail.
    field = smooth(field, 0.25)
    contrast = rng.uniform(*DEPTH_PER_DEVIATION)
    shift = _shadow_shift(rng, height, width)
    depth = contrast * (field - np.float32(_level(field[:height, :width], cloudy))) + np.float32(_logit(edge))
    layer = 1 / (1 + np.exp(-depth))
    layer[layer < _CLEAR_BELOW] = 0
    # The field is periodic, so np.roll brings in clouds from outside the image.
    shadow = np.roll(layer, shift, axis=(0, 1))[:height, :width]
    for _ in range(2):
        shadow = smooth(shadow, 0.25)
    return Cloud(opacity=layer[:height, :width].copy(), shadow=shadow)


def simulate_sky(rng: np.random.Generator, height: int, width: int, cover: float | None = None) -> Cloud:
    """Draw a random cloud layer with thick cores, or with only thin clouds.

    Takes the arguments of ``simulate_cloud``; ``cover`` is the share of pixels with opacity above THIN.
    """
    peak = float(rng.uniform(*VEIL_PEAK)) if rng.random() < VEIL_SHARE else 1.0
    cloud = simulate_cloud(rng, height, width, cover, edge=THIN / peak)
    return Cloud(opacity=np.float32(peak) * cloud.opacity, shadow=np.float32(peak) * cloud.shadow)


def _level(field: Field, count: int) -> float:
    """Return a level that exactly ``count`` values of the field exceed, except for ties; ``count`` is at least 1."""
    if count == field.size:
        return float(field.min()) - 1e-3
    flat = field.ravel().astype(np.float64)
    order = np.partition(flat, (flat.size - count - 1, flat.size - count))
    return float(order[flat.size - count - 1] + order[flat.size - count]) / 2


def _logit(share: float) -> float:
    return math.log(share) - math.log1p(-share)


def _shadow_shift(rng: np.random.Generator, height: int, width: int) -> tuple[int, int]:
    """Draw the offset of the shadow in rows and columns, for a sun between south-east and south-west."""
    azimuth = rng.uniform(-0.25 * np.pi, 0.25 * np.pi)
    length = rng.uniform(0.04, 0.16) * min(height, width, 400)
    return -round(length * float(np.cos(azimuth))), round(length * float(np.sin(azimuth)))


def apply_cloud(optical: NDArray[np.float32], cloud: Cloud, band_names: Sequence[str]) -> NDArray[np.float32]:
    """Return a copy of an optical image with a cloud layer and its shadow.

    Shadow removes direct light; then the image is blended with the reflectance of cloud by opacity. Thick cloud is
    brighter than thin cloud.

    Args:
        optical: (C, H, W) reflectance; invalid pixels are changed as well.
        cloud: cloud layer (H, W).
        band_names: names of the C bands.

    Raises:
        ConfigError: a band is unknown, or the shapes of image, cloud and names differ.
    """
    unknown = [name for name in band_names if name not in CLOUD_REFLECTANCE]
    if unknown:
        raise ConfigError(
            f"bands {unknown}: cannot be simulated under cloud; choose from the Sentinel-2 bands {', '.join(L1C_BANDS)}"
        )
    expected = (len(band_names), *cloud.opacity.shape)
    if optical.shape != expected:
        raise ConfigError(
            f"the optical image has the shape {optical.shape}, but must have the shape {expected} of its bands and the "
            "cloud"
        )
    white = np.array([CLOUD_REFLECTANCE[name] for name in band_names], dtype=np.float32)[:, None, None]
    direct = np.array([DIRECT_LIGHT[name] for name in band_names], dtype=np.float32)[:, None, None]
    lit = optical * (1 - direct * cloud.shadow)
    brightness = white * (0.6 + 0.4 * cloud.opacity)
    return np.asarray(lit + cloud.opacity * (brightness - lit), dtype=np.float32)


def cloud_mask(cloud: Cloud, quality: CloudMaskQuality) -> NDArray[np.bool_]:
    """Return a cloud mask (H, W), True for cloud.

    Quality ``perfect`` marks cloud and shadow above THIN, ``thin-missed`` only opaque cloud (like many real masks), and
    ``none`` no pixel (like an image without a mask).
    """
    if quality == "none":
        return np.zeros(cloud.opacity.shape, np.bool_)
    if quality == "thin-missed":
        return cloud.opacity > OPAQUE
    return (cloud.opacity > THIN) | (cloud.shadow > THIN)


def clouded_channels(bands: Bands) -> list[int]:
    """Return the indices of the optical channels that get simulated clouds: with two dates, those of the later date.

    Images from before the flood are selected for their clear sky.
    """
    return [index for index, name in enumerate(bands.optical) if band_date(name) != "before"]


def cover_image(optical: NDArray[np.float32], cloud: Cloud, bands: Bands) -> NDArray[np.float32]:
    """Return an optical image (C, H, W) in the unit of ``bands`` with a cloud layer; see ``apply_cloud``.

    Digital numbers are reflectance times DN_PER_REFLECTANCE, rounded and at most 255.
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
