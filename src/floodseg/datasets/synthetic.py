"""Simulated scenes with labels, and the layout ``synthetic`` of such chips."""

from collections import OrderedDict
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from floodseg.bands import IGNORE, L1C_BANDS, LAND, SAR_BANDS, WATER, Bands, SensorSet
from floodseg.chips.chip import Chip
from floodseg.config.data import DataConfig
from floodseg.datasets.bands import canonical_optical_bands, require_optical
from floodseg.errors import ConfigError, DataError
from floodseg.geo.grid import GeoGrid, Window
from floodseg.simulate.clouds import OPAQUE, Cloud, apply_cloud, simulate_cloud
from floodseg.simulate.sensors import simulate_optical, simulate_sar
from floodseg.simulate.terrain import PIXEL_METRES, Event, simulate_terrain

_DELTA = Event(
    name="delta", relief=1.5, roughness=-3.2, tilt=1.0, river_width=(60, 260), water_share=(0.12, 0.45), permanent=0.25,
    vegetation=(0.55, 0.85), parcels=350, built_up=(0.01, 0.05), flooded_vegetation=(0.05, 0.30), smooth_soil=0.05,
    wind=(2, 8), incidence=(32, 44), turbidity=(0.3, 0.9), cloudy=0.6, epsg=32646, corner=(300_000, 2_560_000),
)  # fmt: skip
_VALLEY = Event(
    name="valley", relief=80, roughness=-4.4, tilt=20, river_width=(40, 160), water_share=(0.0, 0.12), permanent=0.3,
    vegetation=(0.6, 0.9), parcels=0, built_up=(0.01, 0.06), flooded_vegetation=(0.0, 0.15), smooth_soil=0.04,
    wind=(1, 5), incidence=(31, 45), turbidity=(0.3, 1.0), cloudy=0.5, epsg=32632, corner=(620_000, 5_180_000),
)  # fmt: skip
_COAST = Event(
    name="coast", relief=4, roughness=-3.4, tilt=16, river_width=(0, 120), water_share=(0.2, 0.6), permanent=0.7,
    vegetation=(0.3, 0.7), parcels=0, built_up=(0.02, 0.12), flooded_vegetation=(0.0, 0.15), smooth_soil=0.30,
    wind=(4, 12), incidence=(31, 45), turbidity=(0.0, 0.5), cloudy=0.5, epsg=32617, corner=(480_000, 2_880_000),
)  # fmt: skip
_PLAIN = Event(
    name="plain", relief=2.5, roughness=-3.4, tilt=2, river_width=(0, 100), water_share=(0.0, 0.25), permanent=0.15,
    vegetation=(0.35, 0.75), parcels=600, built_up=(0.01, 0.10), flooded_vegetation=(0.0, 0.20), smooth_soil=0.12,
    wind=(2, 7), incidence=(31, 45), turbidity=(0.2, 0.8), cloudy=0.4, epsg=32615, corner=(250_000, 4_600_000),
)  # fmt: skip
_MARSH = Event(
    name="marsh", relief=1.2, roughness=-3.0, tilt=0.5, river_width=(0, 80), water_share=(0.15, 0.4), permanent=0.3,
    vegetation=(0.7, 0.95), parcels=0, built_up=(0.0, 0.02), flooded_vegetation=(0.15, 0.40), smooth_soil=0.03,
    wind=(1, 6), incidence=(34, 44), turbidity=(0.1, 0.5), cloudy=0.5, epsg=32635, corner=(420_000, 1_020_000),
)  # fmt: skip
_ESTUARY = replace(
    _COAST, name="estuary", tilt=6, river_width=(150, 400), turbidity=(0.4, 1.0), smooth_soil=0.2, epsg=32630,
    corner=(540_000, 5_700_000),
)  # fmt: skip

EVENTS: dict[str, Event] = {event.name: event for event in (_DELTA, _VALLEY, _COAST, _PLAIN, _MARSH, _ESTUARY)}
"""The simulated floods by name."""

SPLIT_EVENTS: dict[str, tuple[str, ...]] = {
    "train": ("delta", "valley", "coast", "plain"),
    "valid": ("delta", "valley", "plain", "marsh"),
    "test": ("valley", "coast", "plain", "estuary"),
}
"""Events of each split, used in turn; valid and test each have one event that train lacks."""

MASKED_SHARE = 0.5
"""Share of the cloudy chips with a cloud mask; without one, pixels under clouds are valid."""
EDGE_SHARE = 0.15
"""Share of the chips with a swath edge, for each sensor."""
UNLABELLED_SHARE = 0.25
"""Share of the chips with an unlabelled margin."""
DRY_SHARE = 0.08
"""Share of the chips without water."""
_CACHED_CHIPS = 4
_CHIPS_PER_ROW = 16


def simulate_scene(
    seed: int | tuple[int, ...],
    height: int,
    width: int,
    event: Event | str,
    *,
    sensors: SensorSet = "both",
    optical_bands: tuple[str, ...] = L1C_BANDS,
    name: str | None = None,
    position: int = 0,
) -> Chip:
    """Simulate one georeferenced scene of any size with imagery, validity and label.

    Terrain, radar, optical imagery, clouds and gaps have separate random streams, so a sensor or bands can be left out
    without a change of the rest.

    Args:
        seed: integer, 0 or more; equal arguments give equal scenes.
        height: Rows, pixels of 10 m.
        width: Columns.
        event: An ``Event``, or the name of one of EVENTS.
        sensors: Sensors to simulate; another one has no bands and is invalid everywhere.
        optical_bands: Names from L1C_BANDS, in the order of the result.
        name: Name of the scene; by default that of the event.
        position: Position in the event's grid of scenes, 16 per row; scenes of equal size do not overlap.

    Returns:
        A ``Chip`` with radar in dB (VV, VH) and top-of-atmosphere reflectance on a UTM grid.

    Raises:
        ConfigError: If the event is unknown.
    """
    if isinstance(event, str):
        if event not in EVENTS:
            raise ConfigError(f"simulated event '{event}': must be one of {', '.join(EVENTS)}")
        event = EVENTS[event]
    terrain_rng, sar_rng, optical_rng, cloud_rng, gap_rng = (
        np.random.default_rng(child) for child in np.random.SeedSequence(seed).spawn(5)
    )
    terrain = simulate_terrain(terrain_rng, height, width, event)
    sar_gap, optical_gap, label_gap = _gaps(gap_rng, height, width)
    sar, optical = np.zeros((0, height, width), np.float32), np.zeros((0, height, width), np.float32)
    sar_valid, optical_valid = np.zeros((2, height, width), np.bool_)
    if sensors != "optical":
        sar_valid = ~sar_gap
        sar = np.where(sar_valid, simulate_sar(sar_rng, terrain, event), 0)
    if sensors != "sar":
        cloud, masked = _cloud(cloud_rng, height, width, event)
        optical = apply_cloud(simulate_optical(optical_rng, terrain), cloud, L1C_BANDS)
        optical_valid = ~(optical_gap | (cloud.opacity > OPAQUE)) if masked else ~optical_gap
        optical = np.where(optical_valid, optical[[L1C_BANDS.index(band) for band in optical_bands]], 0)
    label = np.where(label_gap, IGNORE, np.where(terrain.water, WATER, LAND)).astype(np.uint8)
    return Chip(
        name=name or event.name, event=event.name, sar=sar, optical=optical, sar_valid=sar_valid,
        optical_valid=optical_valid, label=label, grid=_grid(event, height, width, position),
    )  # fmt: skip


def _cloud(rng: np.random.Generator, height: int, width: int, event: Event) -> tuple[Cloud, bool]:
    """Draw a cloud layer; return it, and True if the imagery has a cloud mask."""
    cloudy, masked = rng.random() < event.cloudy, bool(rng.random() < MASKED_SHARE)
    return simulate_cloud(rng, height, width, None if cloudy else 0.0), masked


def _gaps(rng: np.random.Generator, height: int, width: int) -> NDArray[np.bool_]:
    """Draw masks of missing radar, optical and label pixels, (3, H, W) bool; most of them are empty."""
    drawn = rng.random(3) < (EDGE_SHARE, EDGE_SHARE, UNLABELLED_SHARE)
    # Orbits run within 15 degrees of north; unlabelled margins lie along any side.
    slants = np.radians(rng.uniform(-15, 15, 3))
    quarters = np.pi / 2 * np.array([2 * rng.integers(2), 2 * rng.integers(2), rng.integers(4)])
    shares = rng.uniform(0.03, (0.45, 0.45, 0.2))
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    gaps = np.zeros((3, height, width), dtype=np.bool_)
    for layer in np.flatnonzero(drawn):
        angle = slants[layer] + quarters[layer]
        across = columns * np.cos(angle) + rows * np.sin(angle)
        gaps[layer] = across < np.quantile(across, shares[layer])
    return gaps


def _grid(event: Event, height: int, width: int, position: int) -> GeoGrid:
    row, column = divmod(position, _CHIPS_PER_ROW)
    east = event.corner[0] + column * width * PIXEL_METRES
    north = event.corner[1] - row * height * PIXEL_METRES
    return GeoGrid(f"EPSG:{event.epsg}", (PIXEL_METRES, 0.0, east, 0.0, -PIXEL_METRES, north), height, width)


class SyntheticChips:
    """Chips of one split (a ``ChipSet``) that are simulated when they are read.

    A chip depends only on ``split_seed``, split and index. The number in its name is unique over all splits.
    """

    def __init__(self, split: str, config: DataConfig) -> None:
        """Prepare the chips of ``split`` (train, valid or test).

        Raises:
            DataError: there is no such split.
            ConfigError: If the seed is negative, if ``optical_bands`` has an unknown or repeated band, or if it is set
                without the optical sensor.
        """
        if split not in SPLIT_EVENTS:
            raise DataError(f"`split={split}`: layout synthetic has the splits {', '.join(SPLIT_EVENTS)}; choose one")
        if config.split_seed < 0:
            raise ConfigError(f"`split_seed={config.split_seed}`: must be 0 or more for simulated chips")
        require_optical(config, in_use=config.sensors != "sar")
        self._sensors: SensorSet = config.sensors or "both"
        self._size = config.synthetic_size
        counts = {"train": config.synthetic_chips, "valid": config.synthetic_chips // 2}
        counts["test"] = counts["valid"]
        self._split_number = list(SPLIT_EVENTS).index(split)
        self._first = sum(list(counts.values())[: self._split_number])
        self._seed = config.split_seed
        events = SPLIT_EVENTS[split]
        self._events = tuple(events[index % len(events)] for index in range(counts[split]))
        optical = canonical_optical_bands(config.optical_bands) or L1C_BANDS
        self._bands = Bands(
            sar=SAR_BANDS if config.sensors != "optical" else (), optical=optical if config.sensors != "sar" else ()
        )
        self._cache: OrderedDict[int, Chip] = OrderedDict()

    @property
    def bands(self) -> Bands:
        """Bands of the sensors in use: radar in dB, optical reflectance."""
        return self._bands

    @property
    def names(self) -> tuple[str, ...]:
        """Name of each chip: its event and a number."""
        return tuple(f"{event}_{self._first + index:04d}" for index, event in enumerate(self._events))

    @property
    def events(self) -> tuple[str, ...]:
        """Event of each chip."""
        return self._events

    def read_label(self, index: int) -> NDArray[np.uint8]:
        """Return the label of one chip, (H, W) uint8, codes 0, 1 and 255."""
        return self._chip(index).label.copy()

    def read(self, index: int, window: Window | None = None) -> Chip:
        """Return one chip, or its part inside ``window``; the caller may change the arrays."""
        chip = self._chip(index)
        part = window or Window(0, 0, self._size, self._size)
        inside = (..., slice(part.top, part.top + part.height), slice(part.left, part.left + part.width))
        return replace(
            chip,
            sar=chip.sar[inside].copy(),
            optical=chip.optical[inside].copy(),
            sar_valid=chip.sar_valid[inside].copy(),
            optical_valid=chip.optical_valid[inside].copy(),
            label=chip.label[inside].copy(),
            grid=chip.grid.crop(part) if chip.grid else None,
        )

    def _chip(self, index: int) -> Chip:
        """Return a complete chip; the last few are cached."""
        index = range(len(self._events))[index]
        if index in self._cache:
            self._cache.move_to_end(index)
            return self._cache[index]
        seed, event = (self._seed, self._split_number, index), EVENTS[self._events[index]]
        if np.random.default_rng(seed).random() < DRY_SHARE:
            event = replace(event, water_share=(0.0, 0.0), river_width=(0.0, 0.0))
        chip = simulate_scene(
            seed, self._size, self._size, event, sensors=self._sensors, optical_bands=self._bands.optical,
            name=self.names[index], position=self._first + index,
        )  # fmt: skip
        self._cache[index] = chip
        if len(self._cache) > _CACHED_CHIPS:
            self._cache.popitem(last=False)
        return chip
