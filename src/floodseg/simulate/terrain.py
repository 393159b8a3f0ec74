"""Simulated flooded terrain: relief, rivers, lakes, flood plain and land cover."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from floodseg.simulate.random_fields import Field, power_law_field, smooth

OPEN_WATER, FLOODED_VEGETATION, VEGETATION, SOIL, BUILT_UP = range(5)
"""Surface codes; the first two count as water in the label."""

PIXEL_METRES = 10.0
FEATURE_PIXELS = 256
"""Wavelength in pixels above which spectra are flat, so that landforms do not grow with the size of the scene."""


@dataclass(frozen=True, slots=True)
class Event:
    """Properties of the chips of one flood event; pairs are ranges from which each chip draws a value."""

    name: str
    relief: float
    """Standard deviation of the height in metres."""
    roughness: float
    """Spectral exponent of the height, -3 (rugged) to -4.5 (smooth), the range of natural relief (Turcotte 1997)."""
    tilt: float
    """Height difference in metres across FEATURE_PIXELS; large for a coast."""
    river_width: tuple[float, float]
    """River width in metres; 0 for no river."""
    water_share: tuple[float, float]
    """Share of the land below the flood level."""
    permanent: float
    """Share of ``water_share`` that is permanent water."""
    vegetation: tuple[float, float]
    """Share of the land with plants; the rest is bare soil."""
    parcels: float
    """Length of a field in metres; 0 for natural cover."""
    built_up: tuple[float, float]
    """Share of the land that is built up."""
    flooded_vegetation: tuple[float, float]
    """Share of the flood with plants above the water."""
    smooth_soil: float
    """Share of the bare soil that looks as smooth as water to the radar: sand, salt flats, rolled seedbeds."""
    wind: tuple[float, float]
    """Wind speed over open water in metres per second."""
    incidence: tuple[float, float]
    """Incidence angle of the radar in degrees."""
    turbidity: tuple[float, float]
    """Sediment in the water, 0 clear to 1 as in a river in flood."""
    cloudy: float
    """Probability that a chip has clouds."""
    epsg: int
    """EPSG code of the UTM zone."""
    corner: tuple[float, float]
    """Easting and northing in metres of the upper left corner of the first chip."""


@dataclass(frozen=True, slots=True)
class Terrain:
    """Terrain of one scene; each array is (H, W)."""

    height: Field
    """Height of the ground or water surface in metres."""
    surface: NDArray[np.uint8]
    """Surface code: OPEN_WATER, FLOODED_VEGETATION, VEGETATION, SOIL or BUILT_UP."""
    permanent: NDArray[np.bool_]
    """True for permanent water."""
    vigour: Field
    """Plant vigour, 0 sparse or dry to 1 dense and green; used for surfaces with plants."""
    moisture: Field
    """Moisture of the topsoil, 0 dry to 1 saturated."""
    smooth: NDArray[np.bool_]
    """True where bare soil looks smooth to the radar."""
    turbidity: Field
    """Sediment in the water, 0 to 1; used for open water and flooded vegetation."""

    @property
    def water(self) -> NDArray[np.bool_]:
        """Mask (H, W) of open water and flooded vegetation, the water of the label."""
        return self.surface <= FLOODED_VEGETATION


def simulate_terrain(rng: np.random.Generator, height: int, width: int, event: Event) -> Terrain:
    """Draw a terrain of ``event`` and flood it.

    Relief is a fractal surface with the valley of a meandering river; all ground below the flood level is under water.
    Fields, natural vegetation and towns cover the remaining land.
    """
    relief, channel = _relief(rng, height, width, event)
    level, permanent_level = _levels(rng, relief, event)
    wet = channel | (relief < level)
    permanent = channel | (relief < permanent_level)
    vigour = _vigour(rng, height, width, event)
    towns = rng.uniform(*event.built_up)
    built = _largest_share(power_law_field(rng, height, width, -3.2, 80), towns) & ~wet
    planted = vigour > 1 - rng.uniform(*event.vegetation)
    surface = np.where(planted, VEGETATION, SOIL)
    surface[built] = BUILT_UP
    surface[wet] = OPEN_WATER
    surface[_standing_plants(rng, wet & ~permanent, vigour, event)] = FLOODED_VEGETATION
    above = np.clip((relief - level) / max(event.relief, 1e-6), 0, None)
    patches = power_law_field(rng, height, width, -2.8, 48)
    moisture = np.clip(0.75 * np.exp(-3 * above) + 0.12 + 0.12 * patches, 0, 1)
    turbidity = rng.uniform(*event.turbidity) + 0.08 * power_law_field(rng, height, width, -3.0, FEATURE_PIXELS)
    return Terrain(
        height=np.maximum(relief, np.float32(level)),
        surface=surface.astype(np.uint8),
        permanent=permanent,
        vigour=vigour,
        moisture=moisture.astype(np.float32),
        smooth=_largest_share(power_law_field(rng, height, width, -3.0, 40), event.smooth_soil),
        turbidity=np.clip(turbidity, 0, 1).astype(np.float32),
    )


def _relief(rng: np.random.Generator, height: int, width: int, event: Event) -> tuple[Field, NDArray[np.bool_]]:
    """Return the height in metres and the mask of the river channel, both (H, W)."""
    relief = event.relief * power_law_field(rng, height, width, event.roughness, FEATURE_PIXELS)
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    direction = rng.uniform(0, 2 * np.pi)
    across = rows * np.sin(direction) + columns * np.cos(direction)
    relief += (event.tilt / FEATURE_PIXELS * (across - across.mean())).astype(np.float32)
    # The zero line of a very smooth field meanders like a river; value / gradient is the distance from it.
    course = power_law_field(rng, height, width, -5.5, FEATURE_PIXELS)
    course += ((across - across.mean()) / FEATURE_PIXELS).astype(np.float32) + np.float32(rng.normal(0, 0.3))
    down, right = np.gradient(course)
    distance = np.abs(course) / np.maximum(np.hypot(down, right), 1e-4)
    half_width = rng.uniform(*event.river_width) / PIXEL_METRES / 2
    if half_width == 0:
        return relief, np.zeros((height, width), dtype=np.bool_)
    valley = 1.2 * event.relief * np.exp(-distance / (8 * half_width + 12))
    return (relief - valley).astype(np.float32), distance < half_width


def _levels(rng: np.random.Generator, relief: Field, event: Event) -> tuple[float, float]:
    """Draw the flood level and the level of permanent water, in metres."""
    share = rng.uniform(*event.water_share)
    level, permanent_level = np.quantile(relief, (share, share * event.permanent))
    return float(level), float(permanent_level)


def _vigour(rng: np.random.Generator, height: int, width: int, event: Event) -> Field:
    """Draw plant vigour (H, W), uniform in 0 to 1: constant per field with ``event.parcels``, otherwise in patches."""
    # The logistic curve with slope 1.7 approximates the normal distribution function to 0.01.
    natural = 1 / (1 + np.exp(-1.7 * power_law_field(rng, height, width, -2.6, 96)))
    if event.parcels == 0:
        return np.asarray(natural, dtype=np.float32)
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    angle, bend = rng.uniform(0, np.pi), 4 * power_law_field(rng, height, width, -4.5, FEATURE_PIXELS)
    length = event.parcels / PIXEL_METRES
    strip = np.floor((rows * np.sin(angle) + columns * np.cos(angle) + bend) / (0.45 * length)).astype(np.int64)
    along = (columns * np.sin(angle) - rows * np.cos(angle) + bend) / length
    offsets = rng.random(509)
    parcel = np.floor(along + offsets[strip % 509]).astype(np.int64)
    crops = rng.random(4093)
    return np.asarray(0.88 * crops[(strip * 613 + parcel) % 4093] + 0.12 * natural, dtype=np.float32)


def _standing_plants(
    rng: np.random.Generator, flood: NDArray[np.bool_], vigour: Field, event: Event
) -> NDArray[np.bool_]:
    """Draw the mask (H, W) of plants above the flood: patches of tall plants."""
    height, width = flood.shape
    tall = vigour + 0.35 * power_law_field(rng, height, width, -3.0, 64)
    share = rng.uniform(*event.flooded_vegetation)
    if not flood.any() or share == 0:
        return np.zeros_like(flood)
    return np.asarray(flood & (tall > np.quantile(tall[flood], 1 - share)), dtype=np.bool_)


def _largest_share(field: Field, share: float) -> NDArray[np.bool_]:
    """Return a mask of the largest values of a field; ``share`` is their share."""
    return np.asarray(field > np.quantile(field, 1 - share), dtype=np.bool_)


def slope_towards(height: Field, direction: float) -> Field:
    """Return the slope of the ground towards ``direction``, in metres per metre.

    Args:
        height: (H, W) in metres.
        direction: angle in radians, 0 to the right (east), pi / 2 upwards (north).
    """
    down, right = np.gradient(smooth(height, 0.2), PIXEL_METRES)
    return np.asarray(right * np.cos(direction) - down * np.sin(direction), dtype=np.float32)
