"""Simulated Sentinel-1 and Sentinel-2 imagery of a simulated terrain.

Radar: mean backscatter by surface, wind, relief and incidence angle, a noise floor, and Wishart speckle. Optical:
mixtures of class spectra, illumination by slope, and an atmosphere. Levels follow the cited literature. They are
plausible, with the ambiguities of real scenes, but too coarse to retrieve physical quantities.
"""

import numpy as np
from numpy.typing import NDArray

from floodseg.simulate.random_fields import Field, power_law_field, smooth
from floodseg.simulate.terrain import (
    BUILT_UP,
    FLOODED_VEGETATION,
    OPEN_WATER,
    SOIL,
    VEGETATION,
    Event,
    Terrain,
    slope_towards,
)

LOOKS = 4.4
"""Equivalent number of looks of Sentinel-1 IW ground-range products (ESA)."""
SPECKLE_WEIGHT = 0.125
"""Weight of each neighbour in the kernel that correlates speckle, for 20 m resolution on 10 m pixels."""
COHERENCE = 0.45
"""Magnitude of the correlation of complex VV and VH signals without noise; that of intensities is its square."""
NOISE_DB = ((-27.0, -24.5), (-28.0, -25.5))
"""Ranges of the noise-equivalent sigma nought of VV and VH; below the specification of -22 dB, like the real sensor."""
INCIDENCE_DEGREES_PER_PIXEL = 15.0 / 25_000
"""The incidence angle grows by about 15 degrees over the 250 km of a wide swath."""
REFERENCE_INCIDENCE = 38.0
"""Incidence angle in degrees for which the backscatter levels are defined."""

SPECTRA = {
    "clear water": (0.030, 0.034, 0.036, 0.020, 0.012, 0.009, 0.008, 0.007, 0.006, 0.005, 0.0, 0.003, 0.002),
    "sediment": (0.070, 0.100, 0.155, 0.205, 0.215, 0.195, 0.200, 0.190, 0.170, 0.110, 0.0, 0.030, 0.018),
    "vegetation": (0.022, 0.027, 0.055, 0.030, 0.090, 0.260, 0.330, 0.355, 0.375, 0.350, 0.0, 0.180, 0.080),
    "dry soil": (0.090, 0.118, 0.155, 0.198, 0.235, 0.250, 0.270, 0.285, 0.300, 0.290, 0.0, 0.370, 0.320),
    "wet soil": (0.050, 0.062, 0.083, 0.105, 0.115, 0.122, 0.130, 0.138, 0.144, 0.135, 0.0, 0.145, 0.105),
    "asphalt": (0.085, 0.095, 0.105, 0.112, 0.116, 0.120, 0.124, 0.128, 0.132, 0.125, 0.0, 0.150, 0.140),
    "roof": (0.200, 0.235, 0.245, 0.235, 0.230, 0.225, 0.220, 0.215, 0.215, 0.205, 0.0, 0.190, 0.160),
}
"""Surface reflectance in the order of L1C_BANDS, with the spectral shapes in Doxaran et al. 2002 (turbid water),
Baret & Guyot 1991 (plants), Lobell & Asner 2002 (soil, dry and wet) and Herold et al. 2004 (built-up). Roofs reflect
green more than near infrared, as water does."""
PATH_RADIANCE = (0.105, 0.072, 0.038, 0.021, 0.017, 0.013, 0.011, 0.009, 0.008, 0.004, 0.0016, 0.002, 0.001)
"""Reflectance that the atmosphere adds, in the order of L1C_BANDS: mostly scattering in the blue (Vermote et al. 1997).
In B10 water vapour hides the ground, so a clear sky has this reflectance."""
TRANSMITTANCE = (0.78, 0.83, 0.87, 0.91, 0.92, 0.92, 0.94, 0.93, 0.95, 0.42, 0.0, 0.95, 0.92)
"""Transmittance of the atmosphere, in the order of L1C_BANDS."""
BAND_METRES = (60, 10, 10, 10, 20, 20, 20, 10, 20, 60, 60, 20, 20)
"""Pixel size of Sentinel-2, in the order of L1C_BANDS."""
OPTICAL_NOISE = 0.0015
"""Standard deviation of the noise at a reflectance of 0.1."""


def speckle(rng: np.random.Generator, coherence: NDArray[np.float32], looks: float = LOOKS) -> NDArray[np.float32]:
    """Draw multi-look speckle of two polarisations: factors of mean 1 for mean intensities.

    The covariance matrix of L looks has a complex Wishart distribution (Lee et al. 1994). It is drawn with Bartlett's
    decomposition, which allows a fractional number of looks, and smoothed by a kernel. Intensities have a coefficient
    of variation of 1/sqrt(looks). The two polarisations correlate with coherence squared, neighbouring pixels with
    about 0.3.

    Args:
        rng: random generator.
        coherence: (H, W), magnitude of the complex correlation, 0 to 1.
        looks: equivalent number of looks after smoothing, above 3.

    Returns:
        (2, H, W) float32.
    """
    # the kernel multiplies the variance by this once for each axis
    kernel_power = (1 - 2 * SPECKLE_WEIGHT) ** 2 + 2 * SPECKLE_WEIGHT**2
    drawn_looks = looks * kernel_power**2
    shape = coherence.shape
    first = rng.standard_gamma(drawn_looks, shape, dtype=np.float32)
    second = rng.standard_gamma(drawn_looks - 1, shape, dtype=np.float32)
    real, imaginary = rng.standard_normal((2, *shape), dtype=np.float32) * np.float32(np.sqrt(0.5))
    independent = np.sqrt(1 - coherence**2)
    correlated = (coherence * np.sqrt(first) + independent * real) ** 2 + independent**2 * (imaginary**2 + second)
    return smooth(np.stack([first, correlated]), SPECKLE_WEIGHT) / np.float32(drawn_looks)


def simulate_sar(rng: np.random.Generator, terrain: Terrain, event: Event) -> NDArray[np.float32]:
    """Simulate sigma nought of VV and VH in dB, (2, H, W) float32, for a radar on the left that looks to the right."""
    width = terrain.height.shape[1]
    start = rng.uniform(*event.incidence)
    incidence = (start + INCIDENCE_DEGREES_PER_PIXEL * np.arange(width, dtype=np.float32))[None, :]
    land = _land_backscatter(rng, terrain) + _relief_gain(terrain.height, incidence)
    water = _water_backscatter(rng, terrain, event, incidence)
    mean_db = np.where(terrain.surface == OPEN_WATER, water, land)
    signal = smooth(np.power(10.0, mean_db / 10, dtype=np.float32), 0.18)
    noise = np.array([10 ** (rng.uniform(*limits) / 10) for limits in NOISE_DB], dtype=np.float32)[:, None, None]
    # noise is independent between polarisations, so it reduces the coherence of weak signals
    coherence = COHERENCE * np.sqrt(np.prod(signal / (signal + noise), axis=0))
    intensity = (signal + noise) * speckle(rng, coherence.astype(np.float32))
    return np.asarray(10 * np.log10(np.maximum(intensity, 1e-5)), dtype=np.float32)


def _land_backscatter(rng: np.random.Generator, terrain: Terrain) -> NDArray[np.float32]:
    """Return mean VV and VH (2, H, W) in dB at REFERENCE_INCIDENCE on flat ground.

    Levels follow the statistics of Ulaby & Dobson 1989. Flooded plants are bright because of double reflection between
    water and stems, more in VV than in VH (Tsyganskaya et al. 2018). Towns have a long bright tail.
    """
    height, width = terrain.surface.shape
    vigour, moisture = terrain.vigour, terrain.moisture
    texture = 1.0 * power_law_field(rng, height, width, -2.2, 64)
    corners = 5.5 * np.abs(rng.standard_normal((height, width), dtype=np.float32))
    surface = terrain.surface
    cases = [surface == FLOODED_VEGETATION, surface == VEGETATION, (surface == SOIL) & terrain.smooth, surface == SOIL]
    vv = np.select(cases, [-8.5 + 2 * vigour, -12.5 + 4.5 * vigour, -20.0 + 3 * moisture, -15.0 + 6 * moisture], -8.0)
    vh = np.select(cases, [-17.5 + 2 * vigour, -19 + 5 * vigour, -27.0 + 2 * moisture, -22.5 + 4 * moisture], -15.0)
    bright = np.where(surface == BUILT_UP, corners, 0)
    return np.asarray(np.stack([vv + bright, vh + bright]) + texture, dtype=np.float32)


def _relief_gain(height: Field, incidence: NDArray[np.float32]) -> Field:
    """Return the change of backscatter in dB by slope and incidence angle, (H, W).

    Slopes that face the radar have more ground per resolution cell (Small 2011), slopes that face away have less.
    """
    tilt = np.degrees(np.arctan(slope_towards(height, direction=0.0)))
    local = np.radians(np.clip(incidence - tilt, 10, 80))
    angle = np.radians(incidence)
    gain = 10 * np.log10(np.sin(angle) / np.sin(local) * np.cos(local) / np.cos(angle))
    return np.asarray(gain - 0.12 * (incidence - REFERENCE_INCIDENCE), dtype=np.float32)


def _water_backscatter(
    rng: np.random.Generator, terrain: Terrain, event: Event, incidence: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Return mean VV and VH (2, H, W) in dB of open water.

    VV grows with about the 1.6th power of wind speed and falls by 0.5 dB per degree, as in CMOD5.N (Hersbach 2010). VH
    grows less and stays close to the noise (Mouche & Chapron 2015). Wind speed varies by gusts.
    """
    height, width = terrain.surface.shape
    gusts = np.exp(0.25 * power_law_field(rng, height, width, -3.2, 96))
    wind = np.clip(rng.uniform(*event.wind) * gusts, 0.8, 16)
    angle = incidence - REFERENCE_INCIDENCE
    vv = -17.5 + 16 * np.log10(wind / 6) - 0.5 * angle
    vh = -27.5 + 8 * np.log10(wind / 6) - 0.2 * angle
    return np.asarray(np.stack([np.clip(vv, -26, -9), np.clip(vh, -32, -20)]), dtype=np.float32)


def simulate_optical(rng: np.random.Generator, terrain: Terrain) -> NDArray[np.float32]:
    """Simulate cloudless top-of-atmosphere reflectance, (13, H, W) float32 in the order of L1C_BANDS."""
    height, width = terrain.surface.shape
    spectra = np.array(list(SPECTRA.values()), dtype=np.float32)
    shares = smooth(_mixture(rng, terrain), 0.18)
    ground = np.tensordot(spectra.T, shares, axes=1)
    texture = np.exp(0.10 * power_law_field(rng, height, width, -2.0, 48))
    sun = rng.uniform(-0.75, -0.25) * np.pi
    light = np.clip(1 + 0.8 * slope_towards(terrain.height, sun + np.pi), 0.3, 1.7)
    texture = np.where(terrain.surface == OPEN_WATER, 1, texture * light)
    haze = rng.uniform(0.75, 1.4) * np.exp(0.05 * power_law_field(rng, height, width, -3.5))
    path = np.array(PATH_RADIANCE, dtype=np.float32)[:, None, None]
    through = np.array(TRANSMITTANCE, dtype=np.float32)[:, None, None]
    reflectance = through * ground
    reflectance *= texture.astype(np.float32)
    reflectance += path * haze.astype(np.float32)
    for band, metres in enumerate(BAND_METRES):
        reflectance[band] = _coarsen(reflectance[band], metres // 10)
    # the variance of noise is proportional to the signal, so the dark cirrus band has little noise
    noise = rng.standard_normal(reflectance.shape, dtype=np.float32)
    noise *= np.sqrt(reflectance)
    reflectance += np.float32(OPTICAL_NOISE / np.sqrt(0.1)) * noise
    return reflectance


def _mixture(rng: np.random.Generator, terrain: Terrain) -> NDArray[np.float32]:
    """Return the share of each spectrum of SPECTRA in each pixel, (7, H, W); shares sum to 1."""
    surface, vigour, moisture = terrain.surface, terrain.vigour, terrain.moisture
    plants = np.select(
        [surface == VEGETATION, surface == FLOODED_VEGETATION], [0.35 + 0.6 * vigour, 0.2 + 0.35 * vigour]
    )
    water = np.select([surface == OPEN_WATER, surface == FLOODED_VEGETATION], [1.0, 1 - plants])
    built = (surface == BUILT_UP).astype(np.float32)
    soil = 1 - plants - water - built
    roofs = rng.random(surface.shape, dtype=np.float32)
    sediment = terrain.turbidity
    shares = [
        water * (1 - sediment), water * sediment, plants, soil * (1 - moisture), soil * moisture, built * (1 - roofs),
        built * roofs,
    ]  # fmt: skip
    return np.asarray(np.stack(shares), dtype=np.float32)


def _coarsen(band: Field, factor: int) -> Field:
    """Return ``band`` (H, W) with each block of ``factor`` x ``factor`` pixels replaced by its mean."""
    if factor == 1:
        return band
    height, width = band.shape
    padded = np.pad(band, ((0, -height % factor), (0, -width % factor)), mode="edge")
    blocks = padded.reshape(padded.shape[0] // factor, factor, padded.shape[1] // factor, factor).mean((1, 3))
    return np.asarray(np.repeat(np.repeat(blocks, factor, 0), factor, 1)[:height, :width], dtype=np.float32)
