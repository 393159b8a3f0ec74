"""Pipeline from a scene (files or arrays) to a folder of products.

::

    scene ── windows ── runtime ── probability ─┐
    layers (AOI, exclusions, permanent water) ──┼── classes ── products
    water in an earlier radar image ────────────┘
"""

import time
from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, fields
from functools import partial
from importlib import import_module
from logging import getLogger
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
from numpy.typing import NDArray

from floodseg.bands import SENSOR_SETS, SENSORS, VALIDITY_CODES, Bands, Sensor, band_date
from floodseg.config.base import flatten
from floodseg.config.depth import DepthOptions
from floodseg.config.predict import CLOUD_METHODS, IMAGES, LAYERS, PredictConfig, SceneConfig
from floodseg.errors import DataError
from floodseg.geo.grid import GeoGrid, Window
from floodseg.inference.context import AreaWindows, area_windows, cropped
from floodseg.inference.earlier_water import EarlierWater
from floodseg.inference.notes import hidden_notes, log_missing_date, sensor_notes
from floodseg.inference.strip_classifier import StripClassifier
from floodseg.inference.windows.map_scene import map_scene, overlap_of
from floodseg.inference.windows.stage_times import StageTimes
from floodseg.messages import redacted
from floodseg.products.folder import check_unfinished
from floodseg.products.info import CollectionMember, ProductInfo
from floodseg.products.writer import Addition, ProductWriter, WriterSettings
from floodseg.runtimes.base import Runtime
from floodseg.runtimes.classical import ClassicalMethod, ClassicalRuntime
from floodseg.scene.acquisition import acquisition_of
from floodseg.scene.base import BaseScene
from floodseg.scene.clouds.hide_clouds import hide_clouds
from floodseg.scene.file_scene import open_scene, open_scene_before, reference_grid
from floodseg.scene.image_sources import image_sources
from floodseg.scene.layers.layers import open_layers
from floodseg.scene.placement import missing_crs_remedy
from floodseg.scene.scene import Layers, Scene
from floodseg.scene.thumbnail import ThumbnailScene
from floodseg.scene.view import CroppedScene

_LOG = getLogger("floodseg")

_LATE_IMPORTS = ("floodseg.products.geopackage", "floodseg.products.quicklook")
"""Modules that are needed only after the first windows. They are imported in a thread while the first windows are
mapped, because the imports (pyogrio, SciPy, Matplotlib) take about 0.8 s of CPU time."""


@dataclass(frozen=True, slots=True)
class _Run:
    """Arguments of one run."""

    config: PredictConfig
    runtime_or_baseline: Runtime | ClassicalMethod
    images: Sequence[Sensor]
    model: str
    model_choice: str | None
    member: CollectionMember | None
    overwrite: bool
    show_progress: bool


def predict_files(
    config: PredictConfig,
    runtime: Runtime | ClassicalMethod,
    model: str,
    *,
    model_choice: str | None = None,
    member: CollectionMember | None = None,
    overwrite: bool = False,
    show_progress: bool = False,
) -> dict[str, Any]:
    """Map the scene that ``config`` names and write its products.

    Args:
        config: scene, settings of mapping, and output folder.
        runtime: a loaded model or a classical baseline.
        model: name of the model in the products.
        model_choice: reason for the choice of the model; None if the settings name it.
        member: identifiers of the scene in a collection of scenes.
        overwrite: replace finished products.
        show_progress: show a progress bar.

    Returns:
        The content of ``summary.json``.

    Raises:
        FloodsegError: invalid input or settings, or an output folder that cannot be used.
    """
    start_time = time.monotonic()
    check_unfinished(config.out_dir, overwrite=overwrite)
    files = config.scene
    with ExitStack() as stack:
        grid = reference_grid(files, runtime.bands) if files.aoi is not None else None
        windows = area_windows(config, runtime, grid) if grid is not None else None
        searched = None if windows is None else windows.searched
        opened = stack.enter_context(closing(open_scene(files, runtime.bands, searched)))
        _check_georeference(files, opened.grid)
        hide_clouds(opened, files.cloud_mask, threads=config.mapping.thread_count, show_progress=show_progress)
        scene: Scene = CroppedScene(opened, windows.mapped.within(windows.searched)) if windows else opened
        earlier_scene = None
        if files.sar_before and not any(band_date(name) for name in runtime.bands.sar):
            earlier_scene = stack.enter_context(closing(open_scene_before(files, runtime.bands, scene.product_grid)))
        images = [sensor for sensor in SENSORS if getattr(files, sensor)]
        run = _Run(config, runtime, images, model, model_choice, member, overwrite, show_progress)
        return _map_and_write(run, scene, earlier_scene, windows, start_time)


def predict_arrays(
    scene: Scene,
    config: PredictConfig,
    runtime: Runtime | ClassicalMethod,
    model: str,
    *,
    images: Sequence[Sensor] = SENSORS,
    model_choice: str | None = None,
    overwrite: bool = False,
    show_progress: bool = False,
) -> dict[str, Any]:
    """Map an open scene of arrays and write its products; see :func:`predict_files`.

    ``config.scene`` has the layers and the date, but no images; ``images`` are the sensors of the scene.
    """
    start_time = time.monotonic()
    windows = area_windows(config, runtime, scene.grid)
    check_unfinished(config.out_dir, overwrite=overwrite)
    if isinstance(scene, BaseScene):
        method, threads = config.scene.cloud_mask, config.mapping.thread_count
        searched = None if windows is None else windows.searched
        hide_clouds(scene, method, searched, threads=threads, show_progress=show_progress)
    if windows is not None:
        scene = CroppedScene(scene, windows.mapped)
    run = _Run(config, runtime, images, model, model_choice, None, overwrite, show_progress)
    return _map_and_write(run, scene, None, windows, start_time)


def _map_and_write(
    run: _Run, scene: Scene, earlier_scene: Scene | None, windows: AreaWindows | None, start_time: float
) -> dict[str, Any]:
    """Map an open scene, and the earlier radar image if any, and write the products of the area, by default all."""
    config, mapping, runtime = run.config, run.config.mapping, run.runtime_or_baseline
    if not isinstance(runtime, Runtime):
        scene = runtime.view(scene)
    complete = Window(0, 0, scene.grid.height, scene.grid.width)
    area = complete if windows is None else windows.area.within(windows.mapped)
    mapped = CroppedScene(scene, area)
    with ExitStack() as stack:
        layers = stack.enter_context(closing(open_layers(config.scene, mapped.grid)))
        if not isinstance(runtime, Runtime):  # a baseline computes its threshold from the scene
            runtime = runtime.fit(mapped, layers, mapping, show_progress=run.show_progress)
        recorded_scene = ThumbnailScene(scene, overlap_of(runtime, mapping), area)
        thresholds = np.array(runtime.thresholds if mapping.threshold is None else (mapping.threshold,) * 4, np.float32)
        scenes = [scene] if earlier_scene is None else [scene, earlier_scene]
        info = _product_info(run, runtime, thresholds, scenes, layers)
        Thread(target=lambda: [import_module(name) for name in _LATE_IMPORTS], name="imports").start()
        settings = WriterSettings(run.overwrite, mapping.min_area, mapping.thread_count)
        writer = stack.enter_context(ProductWriter(config.out_dir, mapped.product_grid, info, settings))
        earlier_water = None
        if earlier_scene is not None:
            earlier_water = stack.enter_context(closing(EarlierWater(earlier_scene, area)))
            earlier_water.map(runtime, mapping, thresholds, progress=run.show_progress)
        sink = StripClassifier(layers, thresholds, writer.write, earlier_water)
        times = map_scene(recorded_scene, runtime, mapping, cropped(sink, area), progress=run.show_progress)
        _check_valid(sink.valid, info)
        seconds = time.monotonic() - start_time
        extra, background = _runtime_and_times(runtime, times), recorded_scene.picture()
        extra["model_choice"] = run.model_choice
        if runtime.bands.sensor_set == "both":
            extra["sensor_shares"] = sink.sensor_shares()
        assumptions = [
            *scene.assumptions,
            *hidden_notes(scene.cloud_masks, sink.optical),
            *layers.assumptions,
            *(earlier_water.assumptions if earlier_water else ()),
            *(note for source in info.sources for note in source.notes),
            *log_missing_date(info),
            *sensor_notes(runtime, sink.sensor_shares(), run.images, earlier_radar=earlier_water is not None),
            *(runtime.assumptions if isinstance(runtime, ClassicalRuntime) else ()),
        ]
        return writer.finish(
            background, seconds=seconds, assumptions=assumptions, extra=extra, outside=sink.outside,
            add=partial(_add_depth, run, info) if config.scene.depth else None,
        )  # fmt: skip


def _add_depth(run: _Run, info: ProductInfo, folder: Path) -> Addition:
    """Write the depth of the map in a folder."""
    from floodseg.analysis.depth.addition import add_depth  # imports SciPy and Matplotlib
    from floodseg.analysis.depth.products import DepthRun

    scene = run.config.scene
    assert scene.dem is not None, "SceneConfig checks it"
    return add_depth(
        folder, DepthRun(scene.dem, scene, run.config.mapping.thread_count, scene.allow_remote, run.show_progress),
        info.acquisition,
    )  # fmt: skip


def _runtime_and_times(runtime: Runtime, times: StageTimes) -> dict[str, Any]:
    """Return the entries of ``summary.json`` on the runtime and on the time of mapping."""
    return {
        "runtime": {"name": runtime.name, "device": runtime.device, "precision": runtime.precision},
        "cpu_seconds": {name: round(value, 3) for name, value in times.cpu.items()},
        "mapping_seconds": round(times.wall, 3),
    }


def _check_georeference(config: SceneConfig, grid: GeoGrid) -> None:
    """Raise DataError, or log a warning with ``allow_no_crs``, if a scene has no coordinate system."""
    if grid.crs is not None:
        return
    names = " ".join(config.sar or config.optical)
    if not config.allow_no_crs:
        raise DataError(
            f"{names}: has no coordinate system, so the map would have no location and no areas; assign one "
            f"({missing_crs_remedy(grid)}), or set `allow_no_crs`"
        )
    _LOG.warning(
        "%s: has no coordinate system, so the products have no location on the Earth and no areas", redacted(names)
    )


def _product_info(
    run: _Run, runtime: Runtime, thresholds: NDArray[np.float32], scenes: Sequence[Scene], layers: Layers
) -> ProductInfo:
    """Return the provenance of the products; ``scenes``: the scene, and the earlier radar image if it is mapped."""
    return ProductInfo(
        model=run.model,
        threshold=runtime.threshold
        if isinstance(runtime, ClassicalRuntime)
        else _thresholds_in_use(thresholds, runtime.bands),
        knows_permanent_water=layers.knows_permanent_water or len(scenes) > 1,
        acquisition=acquisition_of(run.config.scene),
        inputs={**{name: files for scene in scenes for name, files in scene.inputs.items()}, **layers.inputs},
        settings=_settings(run),
        member=run.member,
        sources=image_sources(run.config.scene),
    )


def _settings(run: _Run) -> dict[str, Any]:
    """Return the settings that affect the map, without file names."""
    config = run.config
    left_out = {*IMAGES, *LAYERS, "datetime", "threads", *(["max_slope"] if config.scene.dem is None else [])}
    if not config.scene.depth:
        left_out |= {"depth", *(entry.name for entry in fields(DepthOptions))}
    if config.scene.cloud_mask in CLOUD_METHODS and "optical" in run.images:
        left_out.remove("cloud_mask")
    settings = {**flatten(config.scene), **flatten(config.mapping)}
    return {name: value for name, value in settings.items() if value is not None and name not in left_out}


def _thresholds_in_use(thresholds: NDArray[np.float32], bands: Bands) -> float | dict[str, float]:
    """Return the threshold, or one threshold per sensor set if they differ."""
    by_set: dict[str, float] = {name: round(float(thresholds[VALIDITY_CODES[name]]), 6) for name in SENSOR_SETS}
    if not bands.optical:
        return by_set["sar"]
    if not bands.sar:
        return by_set["optical"]
    return by_set["both"] if len(set(by_set.values())) == 1 else by_set


def _check_valid(valid: int, info: ProductInfo) -> None:
    """Raise DataError if the map has no valid pixel."""
    if valid:
        return
    inputs = info.inputs
    names = " ".join(f"`{sensor}={' '.join(inputs[sensor])}`" for sensor in ("sar", "optical") if sensor in inputs)
    extent = f" within `aoi={' '.join(inputs['aoi'])}`" if "aoi" in inputs else ""
    clear = ", or set `cloud_mask=none` if the sky is clear" if "optical" in inputs else ""
    raise DataError(
        f"{names or 'the arrays'}: no pixel{extent} is valid (all are nodata, outside the swath or cloudy); set an "
        f"image that covers the area, or correct its nodata value{clear}"
    )
