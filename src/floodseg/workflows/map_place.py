"""``floodseg.map_place``: from a place and a date to a flood map.

::

    search -> choice of passes -> fetch -> image from before -> predict
"""

import json
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import shapely
from shapely.geometry import mapping

from floodseg.bands import Sensor
from floodseg.catalog.passes import Pass
from floodseg.catalog.retries import RetryPolicy
from floodseg.catalog.search import SearchResult, find_passes, search_config
from floodseg.config.fetch import MapPlaceConfig
from floodseg.config.predict import PredictConfig, SceneConfig
from floodseg.errors import DataError
from floodseg.inference.flood_map import FloodMap
from floodseg.inference.predict import predict_config
from floodseg.products.folder import check_unfinished
from floodseg.system.files import write_text
from floodseg.workflows.before import EARLIEST, LATEST, LEAST_DATES, choose_before, fetch_before
from floodseg.workflows.choice import Chosen, choose
from floodseg.workflows.fetch import FetchedPass, Fetching, fetch_pass, fetching, require_requests, set_map_notes
from floodseg.workflows.settings import build_config

AREA = "area.geojson"
_HOUR = timedelta(hours=1)
"""Tolerance of the time between passes of the same orbit."""


@dataclass(frozen=True)
class MapPlan:
    """Passes from which a map would be made."""

    found: SearchResult
    chosen: Chosen
    before: tuple[Pass, ...]
    """Earlier radar passes, whose median is the image from before the flood; empty without such an image."""
    notes: tuple[str, ...]
    """Sentences on what is left out, and why."""

    @property
    def bytes_to_read(self) -> int:
        """Estimate of the bytes of all bands inside the area."""
        return sum(each.bytes_to_read for each in (*self.chosen.passes, *self.before))


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

    Raises:
        ConfigError: a setting is invalid, or requests are not allowed.
        DataError: the catalogue has no pass, or a file cannot be read.
        RunFolderError: ``out_dir`` cannot be used, or holds finished products.
    """
    config = build_config(MapPlaceConfig, settings)
    return map_plan(config, plan_map(config), model=model, overwrite=overwrite, show_progress=show_progress)


def plan_map(config: MapPlaceConfig, policy: RetryPolicy | None = None) -> MapPlan:
    """Search for the passes of a map and choose among them; ``policy``: retries of failed requests.

    Raises:
        ConfigError: requests are not allowed.
        DataError: the catalogue has no pass.
    """
    require_requests(config.search)
    found = search_config(config.search, policy)
    chosen = choose(found.passes, config.days_apart)
    notes = list(found.notes)
    before: tuple[Pass, ...] = ()
    if config.before == "auto" and chosen.sar is not None:
        before = choose_before(chosen.sar, _earlier_passes(found, chosen.sar, policy))
        if len(before) < LEAST_DATES:
            notes.append(_too_few_note(chosen.sar, len(before)))
            before = ()
    return MapPlan(found, chosen, before, tuple(notes))


def map_plan(
    config: MapPlaceConfig,
    plan: MapPlan,
    policy: RetryPolicy | None = None,
    *,
    model: str | None = None,
    overwrite: bool = False,
    show_progress: bool = False,
) -> FloodMap:
    """Fetch the passes of a plan and map them; see :func:`map_place`. ``policy``: retries of failed requests."""
    check_unfinished(config.out_dir, overwrite=overwrite)
    folder = config.out_dir / "passes"
    with fetching(
        folder, plan.found.area, plan.found.source, config.reading, policy,
        overwrite=overwrite, show_progress=show_progress,
    ) as run:  # fmt: skip
        area = folder / AREA
        write_text(area, json.dumps(_feature(plan.found.area.geometry)) + "\n")
        scene = _fetch_scene(config, plan, run, area)
    settings = PredictConfig(config.out_dir, scene, config.mapping)
    chosen = {} if model is None else {"model": model}
    return predict_config(settings, **chosen, overwrite=overwrite, show_progress=show_progress)


def _fetch_scene(config: MapPlaceConfig, plan: MapPlan, run: Fetching, area: Path) -> SceneConfig:
    fetched: dict[Sensor, FetchedPass] = {each.sensor: fetch_pass(run, each) for each in plan.chosen.passes}
    sar, optical = fetched.get("sar"), fetched.get("optical")
    before = fetch_before(run, sar, plan.before) if sar is not None and plan.before else None
    set_map_notes(next(iter(fetched.values())), plan.notes)
    classes = optical.cloud_mask if optical else None
    return SceneConfig(
        cloud_mask=classes or SceneConfig.cloud_mask,
        sar=sar.images if sar else (),
        optical=optical.images if optical else (),
        sar_before=before.images if before else (),
        aoi=str(area),
        permanent_water=config.permanent_water,
        permanent_water_threshold=config.permanent_water_threshold,
    )


def _earlier_passes(found: SearchResult, flood: Pass, policy: RetryPolicy | None) -> tuple[Pass, ...]:
    collection = found.source.collection("sar")
    if collection is None:
        raise DataError(f"{found.source.name}: has no radar images")
    period = (flood.datetime - EARLIEST - _HOUR, flood.datetime - LATEST + _HOUR)
    return find_passes(found.source, collection, found.area, period, near=flood.datetime, retries=policy).passes


def _too_few_note(flood: Pass, count: int) -> str:
    orbit = f"relative orbit {flood.relative_orbit}, {flood.orbit_state}"
    if None in (flood.relative_orbit, flood.orbit_state):
        orbit = "the same orbit, which the catalogue does not name"
    return (
        f"no image from before: {count} passes of {orbit}, {LATEST.days} to {EARLIEST.days} days before "
        f"{flood.datetime:%Y-%m-%d} cover the area, but {LEAST_DATES} are needed; permanent water counts as flood "
        "unless `permanent_water` is set"
    )


def _feature(geometry: Any) -> dict[str, Any]:
    features = [
        {"type": "Feature", "properties": {}, "geometry": mapping(each)} for each in shapely.get_parts(geometry)
    ]
    return {"type": "FeatureCollection", "features": features}
