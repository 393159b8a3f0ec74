"""``floodseg.map_place``: from a place and a date to a flood map.

::

    search -> choice of passes -> fetch -> image from before -> predict
"""

import math
from dataclasses import dataclass
from typing import Any

from floodseg.bands import SENSORS, Sensor
from floodseg.catalog.areas import Area, area_of
from floodseg.catalog.passes import Pass
from floodseg.catalog.retries import RetryPolicy
from floodseg.catalog.search import SearchResult, find_passes, search_config
from floodseg.config.fetch import MapPlaceConfig
from floodseg.config.flat import from_flat
from floodseg.config.predict import PredictConfig, SceneConfig
from floodseg.errors import ConfigError, DataError
from floodseg.geo.grid import GeoGrid
from floodseg.inference.context import context_of
from floodseg.inference.flood_map import FloodMap
from floodseg.inference.model_choice import AUTO, choose_model
from floodseg.inference.pipeline import predict_files
from floodseg.inference.predict import open_model_or_baseline
from floodseg.messages import SENSOR_NAMES, redacted
from floodseg.products.folder import check_unfinished
from floodseg.raster.access import is_remote
from floodseg.scene.layers.layers import open_layers
from floodseg.workflows.before import MIN_DATES, choose_before, earlier_period, fetch_before, too_few_note
from floodseg.workflows.choice import choose
from floodseg.workflows.fetch import fetch_pass, require_fetch_permission
from floodseg.workflows.fetched_pass import FetchedPass, set_map_notes
from floodseg.workflows.fetching import Fetching, FetchSettings, fetching
from floodseg.workflows.pass_files import NoValidPixelError

_CHECKED_PIXELS = 1000
"""Longer side of the grid on which a layer of permanent water is checked before a search."""


@dataclass(frozen=True)
class FoundScene:
    """Passes from which a map is made."""

    found: SearchResult
    passes: tuple[Pass, ...]
    """One pass of each sensor, or of one alone; radar first."""
    before: tuple[Pass, ...]
    """Earlier radar passes, whose median is the image from before the flood; empty without such an image."""
    notes: tuple[str, ...]
    """Sentences on what is left out, and why."""

    @property
    def bytes_to_read(self) -> int:
        """Estimate of the bytes of all bands inside the area."""
        return sum(overpass.bytes_to_read for overpass in (*self.passes, *self.before))


def map_place(
    *, model: str | None = None, overwrite: bool = False, show_progress: bool = False, **settings: Any
) -> FloodMap:
    """Map the flood at a place, like ``floodseg map``.

    Args:
        model: model as in :func:`floodseg.predict_scene`, by default the same as there.
        overwrite: replace finished products, and passes that were fetched with other settings.
        show_progress: show progress bars.
        **settings: settings of ``floodseg map``: those of :func:`floodseg.search`, and ``out_dir``, ``before``,
            ``permanent_water``, ``resolution``, ``tile_size``, ...

    Returns:
        The map, as of :func:`floodseg.predict_scene`.

    Raises:
        ConfigError: a setting is invalid, or requests are not allowed.
        DataError: the catalogue has no pass, or a file cannot be read.
        RunFolderError: ``out_dir`` cannot be used, or holds finished products.

    Example:
        >>> flood = floodseg.map_place(
        ...     place="Adria, IT", radius="1km", date="2024-10-31", sensors="sar", out_dir="adria",
        ...     source="local.toml", allow_remote=True,
        ... )
        >>> flood.areas["permanent_water"] > 0  # water that is also in the image from before
        True
    """
    config = from_flat(MapPlaceConfig, settings)
    return fetch_and_map(config, find_scene(config), model=model, overwrite=overwrite, show_progress=show_progress)


def find_scene(config: MapPlaceConfig, retries: RetryPolicy | None = None) -> FoundScene:
    """Search for the passes of a map and choose among them; ``retries``: attempts of each request.

    Raises:
        ConfigError: requests are not allowed.
        DataError: the catalogue has no pass, or the layer of permanent water cannot be used.
    """
    require_fetch_permission(config.search)
    area = area_of(config.search.area)
    _check_permanent_water(config, area)
    found = search_config(config.search, retries, area)
    passes = choose(found.passes, config.days_apart)
    notes = list(found.notes)
    before: tuple[Pass, ...] = ()
    if config.before == "auto" and passes[0].sensor == "sar":
        before = choose_before(passes[0], _earlier_passes(found, passes[0], retries))
        if len(before) < MIN_DATES:
            notes.append(too_few_note(passes[0], len(before)))
            before = ()
    return FoundScene(found, passes, before, tuple(notes))


def fetch_and_map(
    config: MapPlaceConfig,
    scene: FoundScene,
    retries: RetryPolicy | None = None,
    *,
    model: str | None = None,
    overwrite: bool = False,
    show_progress: bool = False,
) -> FloodMap:
    """Fetch the passes of a scene and map them; see :func:`map_place`. ``retries``: attempts of each request."""
    check_unfinished(config.out_dir, overwrite=overwrite)
    sensors = [overpass.sensor for overpass in scene.passes]
    chosen, reason = choose_model(model or AUTO, sar="sar" in sensors, optical="optical" in sensors)
    # the model is opened before the images are fetched: they need its context, and its errors come early
    runtime, name = open_model_or_baseline(chosen, config.mapping)
    for sensor in sensors:
        if not runtime.bands.names(sensor):
            raise ConfigError(
                f"`model={name}`: takes no {SENSOR_NAMES[sensor]} image; set `sensors={_other(sensor)}` or another "
                "`model`"
            )
    context = context_of(runtime, config.mapping)
    settings = FetchSettings(config.out_dir / "passes", context, config.reading, overwrite, show_progress)
    with fetching(settings, scene.found.area, scene.found.source, retries) as run:
        files = _fetch_scene(config, scene, run)
    summary = predict_files(
        PredictConfig(config.out_dir, files, config.mapping), runtime, name,
        model_choice=reason, overwrite=overwrite, show_progress=show_progress,
    )  # fmt: skip
    return FloodMap(config.out_dir, summary)


def _check_permanent_water(config: MapPlaceConfig, area: Area) -> None:
    """Raise the errors of mapping on the layer of permanent water, on a coarse grid of the area."""
    layers = SceneConfig(
        permanent_water=config.permanent_water, permanent_water_threshold=config.permanent_water_threshold
    )
    if config.permanent_water is None:
        return
    if is_remote(config.permanent_water):
        address = redacted(config.permanent_water)
        raise ConfigError(
            f"`permanent_water={address}`: is an address on a network; download the file and set its path"
        )
    west, south, east, north = area.geometry.bounds
    pixel = max(east - west, north - south) / _CHECKED_PIXELS
    height, width = math.ceil((north - south) / pixel), math.ceil((east - west) / pixel)
    open_layers(layers, GeoGrid("EPSG:4326", (pixel, 0, west, 0, -pixel, north), height, width)).close()


def _fetch_scene(config: MapPlaceConfig, scene: FoundScene, run: Fetching) -> SceneConfig:
    fetched: dict[Sensor, FetchedPass] = {}
    for overpass in scene.passes:
        try:
            fetched[overpass.sensor] = fetch_pass(run, overpass)
        except NoValidPixelError as error:
            if len(scene.passes) == 1:
                raise
            raise DataError(
                f"{error.reason}; set `sensors={_other(overpass.sensor)}`, or other dates with `date` or `dates`"
            ) from error
    sar, optical = fetched.get("sar"), fetched.get("optical")
    before, notes = fetch_before(run, sar, scene.before) if sar is not None and scene.before else (None, ())
    first = next(iter(fetched.values()))
    set_map_notes(first, (*scene.notes, *notes))
    classes = optical.cloud_mask if optical else None
    return SceneConfig(
        cloud_mask=classes or SceneConfig.cloud_mask,
        sar=sar.images if sar else (),
        optical=optical.images if optical else (),
        sar_before=before.images if before else (),
        aoi=first.area,
        permanent_water=config.permanent_water,
        permanent_water_threshold=config.permanent_water_threshold,
    )


def _other(sensor: Sensor) -> Sensor:
    return next(other for other in SENSORS if other != sensor)


def _earlier_passes(found: SearchResult, flood: Pass, retries: RetryPolicy | None) -> tuple[Pass, ...]:
    collection = found.source.collection("sar")
    if collection is None:
        raise DataError(f"{found.source.name}: has no radar images")
    period = earlier_period(flood)
    return find_passes(found.source, collection, found.area, period, near=flood.datetime, retries=retries).passes
