"""Terrain of the demo scene: a river in flood, a flood plain with fields, and hills on both sides."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from floodseg.simulate.random_fields import Field, power_law_field
from floodseg.simulate.terrain import FLOODED_VEGETATION, OPEN_WATER, Event, Terrain, simulate_terrain

DEMO_EVENT = Event(
    name="demonstration", relief=1.0, roughness=-3.2, tilt=0, river_width=(0, 0), water_share=(0, 0), permanent=0,
    vegetation=(0.7, 0.7), parcels=350, built_up=(0.02, 0.02), flooded_vegetation=(0, 0), smooth_soil=0.02,
    wind=(3.0, 4.0), incidence=(36, 38), turbidity=(0.5, 0.8), cloudy=1, epsg=32632, corner=(735_000, 4_990_000),
)  # fmt: skip
"""Land and weather of the demo scene, without the river. Located in northern Italy, at the eastern edge of UTM 32N."""

_CHANNEL = 8.0
"""Half width of the river in pixels."""
_FALL = 0.012
"""Rise of the flood plain in metres per pixel from the river."""
_FLOODED_SHARE = 0.40
"""Share of the flood plain under water."""
_PLANTS_SHARE = 0.04
"""Share of the flood with plants above the water, which hide it from the radar."""


def simulate_valley(rng: np.random.Generator, height: int, width: int) -> tuple[Terrain, Field]:
    """Draw a flooded valley of H rows and W columns of 10 m.

    Returns:
        The terrain, and the height of the ground (H, W) in metres without flood water.
    """
    dry = simulate_terrain(rng, height, width, DEMO_EVENT)
    across = _distance_from_river(rng, height, width)
    half_plain = 0.24 * height
    edge = half_plain * (1 + 0.25 * power_law_field(rng, height, width, -4.0, 256))
    ground = dry.height + _FALL * np.minimum(across, half_plain) + _hills(rng, across - edge)
    channel = across < _CHANNEL
    ground[channel] -= 4
    plain = across < edge
    level = np.quantile(ground[plain], _FLOODED_SHARE)
    wet = channel | (plain & (ground < level))
    surface = np.where(wet, OPEN_WATER, dry.surface)
    flood = wet & ~channel
    surface[flood & (dry.vigour > np.quantile(dry.vigour[flood], 1 - _PLANTS_SHARE))] = FLOODED_VEGETATION
    flooded = replace(
        dry, height=np.where(wet, np.float32(level), ground).astype(np.float32), surface=surface.astype(np.uint8),
        permanent=channel,
    )  # fmt: skip
    return flooded, ground.astype(np.float32)


def _distance_from_river(rng: np.random.Generator, height: int, width: int) -> NDArray[np.float64]:
    """Return the distance (H, W) in pixels from the centre line of a meandering river across the scene."""
    columns = np.arange(width)
    course = np.full(width, 0.5 * height)
    for wavelength, amplitude in ((0.9 * width, 0.10 * height), (330.0, 42.0), (150.0, 20.0)):
        course += amplitude * np.sin(2 * np.pi * columns / wavelength + rng.uniform(0, 2 * np.pi))
    bends = 12 * power_law_field(rng, height, width, -4.5, 128)
    offset = np.arange(height)[:, None] + bends - course
    return np.asarray(np.abs(offset) / np.hypot(1, np.gradient(course)))


def _hills(rng: np.random.Generator, distance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return heights (H, W) in metres of hills; ``distance`` is that from the edge of the plain, in pixels."""
    rise = 1 - np.exp(-np.clip(distance, 0, None) / 120)
    height, width = distance.shape
    ridges = power_law_field(rng, height, width, -4.6, 220)
    return np.asarray(rise * (80 + 42 * ridges))
