"""One scene, from its files or arrays to a folder of products.

::

    scene ── windows ── runtime ── probability ─┐
    layers (area, exclusions, permanent water) ─┼── classes ── products
    the earlier radar image, mapped alike ──────┘
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from logging import getLogger
from typing import Any

import numpy as np
from numpy.typing import NDArray

from floodseg.bands import SENSOR_SETS, Bands, SensorSet, band_date
from floodseg.config.base import flatten
from floodseg.config.predict import IMAGES, LAYERS, MapConfig, PredictConfig, SceneConfig
from floodseg.errors import DataError
from floodseg.geo.grid import GeoGrid
from floodseg.inference.prefetch import import_beside
from floodseg.inference.rows import MappedRows, OpenedScene, assumptions_of, check_seen, map_rows
from floodseg.inference.sensor_weight_map import check_reliability, map_reliability
from floodseg.inference.windows.map_scene import overlap_of
from floodseg.inference.windows.stage_times import StageSeconds
from floodseg.inference.windows.thumbnail import ThumbnailScene
from floodseg.messages import redacted
from floodseg.products.folder import check_unfinished
from floodseg.products.info import OneOfMany, ProductInfo
from floodseg.products.writer import ProductWriter
from floodseg.runtimes.base import Runtime
from floodseg.runtimes.classical import PlainMethod, PlainRuntime
from floodseg.scene.acquisition import acquired
from floodseg.scene.file_scene import open_scene, open_scene_before, reference_grid
from floodseg.scene.layers.layers import aoi_window, open_layers
from floodseg.scene.scene import Layers, Scene
from floodseg.scene.scene_crop import CroppedScene

_LOG = getLogger("floodseg")

_CODES: dict[SensorSet, int] = {"sar": 1, "optical": 2, "both": 3}


def predict_files(
    config: PredictConfig,
    runtime: Runtime | PlainMethod,
    model: str,
    *,
    many: OneOfMany | None = None,
    overwrite: bool = False,
    show_progress: bool = False,
) -> dict[str, Any]:
    """Map the scene that ``config`` names and write its products.

    Args:
        config: the scene, how it is mapped, and where the products go.
        runtime: the model, ready to run, or a reference method.
        model: what the products call it.
        many: what is to be said of a scene that is one of many.
        overwrite: replace finished products.
        show_progress: show a bar with the time left.

    Returns:
        The content of ``summary.json``.

    Raises:
        FloodsegError: input, settings or a folder that the user can mend.
    """
    began = time.monotonic()
    check_unfinished(config.out_dir, overwrite)
    with (
        opened_files(config, runtime, model, many, show_progress=show_progress) as opened,
        product_writer(opened, overwrite) as writer,
    ):
        rows = map_rows(opened, writer.write, progress=show_progress)
        return finish(opened, writer, [rows], time.monotonic() - began)


def predict_arrays(
    scene: Scene,
    config: PredictConfig,
    runtime: Runtime | PlainMethod,
    model: str,
    *,
    overwrite: bool = False,
    show_progress: bool = False,
) -> dict[str, Any]:
    """Map a scene that is open already (arrays in memory), and write its products; see :func:`predict_files`.

    ``config.scene`` gives layers and date; it names no imagery.
    """
    began = time.monotonic()
    window = aoi_window(config.scene, scene.grid)
    if window is not None:
        scene = CroppedScene(scene, window)
    if config.scene.datetime is not None:
        date, how = acquired(config.scene)
    else:
        date, how = datetime.now(UTC), "the time of mapping, as arrays have no date"
    origin = _Origin(model, date, how, None)
    check_unfinished(config.out_dir, overwrite)
    with (
        _opened(config, scene, None, runtime, origin, show_progress) as opened,
        product_writer(opened, overwrite) as writer,
    ):
        rows = map_rows(opened, writer.write, progress=show_progress)
        return finish(opened, writer, [rows], time.monotonic() - began)


@contextmanager
def opened_files(
    config: PredictConfig,
    runtime: Runtime | PlainMethod,
    model: str,
    many: OneOfMany | None = None,
    *,
    show_progress: bool = False,
) -> Iterator[OpenedScene]:
    """Open the files that ``config`` names, see :func:`predict_files`; they are closed at the end of the context."""
    scene_config = config.scene
    with ExitStack() as stack:
        window = None
        if scene_config.aoi is not None:
            window = aoi_window(scene_config, reference_grid(scene_config, runtime.bands))
        scene = stack.enter_context(closing(open_scene(scene_config, runtime.bands, window)))
        _check_place(scene_config, scene.grid)
        before = None
        if _maps_both_dates(scene_config, runtime.bands):
            before = stack.enter_context(closing(open_scene_before(scene_config, runtime.bands, scene.grid)))
        origin = _Origin(model, *acquired(scene_config), many)
        yield stack.enter_context(_opened(config, scene, before, runtime, origin, show_progress))


def _maps_both_dates(config: SceneConfig, bands: Bands) -> bool:
    """Tell whether an earlier radar image is given to a model of one date, which then maps it too."""
    return bool(config.sar_before) and not any(band_date(name) for name in bands.sar)


def _check_place(config: SceneConfig, grid: GeoGrid) -> None:
    if grid.crs is not None:
        return
    names = " ".join(config.sar or config.optical)
    if not config.allow_no_crs:
        raise DataError(
            f"{names}: has no coordinate system, so that a map of it has no place and no areas: assign one "
            "(gdal_edit.py -a_srs EPSG:32633), or accept that with --allow-no-crs"
        )
    _LOG.warning(
        "%s: has no coordinate system, so the products have no place on the Earth and no areas", redacted(names)
    )


@dataclass(frozen=True, slots=True)
class _Origin:
    """What the products are said to come from."""

    model: str
    date: datetime
    how: str
    many: OneOfMany | None


@contextmanager
def _opened(
    config: PredictConfig,
    opened: Scene,
    before: Scene | None,
    method: Runtime | PlainMethod,
    origin: _Origin,
    show_progress: bool,
) -> Iterator[OpenedScene]:
    with closing(open_layers(config.scene, opened.grid)) as layers:
        if config.mapping.write_reliability:
            check_reliability(method, origin.model)
        fitted = method if isinstance(method, Runtime) else method.fitted(opened, layers, config.mapping, show_progress)
        scene = ThumbnailScene(opened, overlap_of(fitted, config.mapping))
        thresholds = _thresholds(fitted, config.mapping)
        info = _info(config, scene, layers, fitted, origin, thresholds, earlier=before)
        yield OpenedScene(config, scene, before, layers, fitted, thresholds, info)


def product_writer(opened: OpenedScene, overwrite: bool) -> ProductWriter:
    """Return the writer of the products of a scene, a context manager."""
    import_beside()
    mapping = opened.config.mapping
    return ProductWriter(
        opened.config.out_dir, opened.scene.grid, opened.info, overwrite=overwrite, min_area=mapping.min_area,
        threads=mapping.thread_count, reliability=mapping.write_reliability,
    )  # fmt: skip


def finish(opened: OpenedScene, writer: ProductWriter, parts: Sequence[MappedRows], seconds: float) -> dict[str, Any]:
    """Make the products of a scene, all rows of which were written, and return the content of ``summary.json``.

    Args:
        opened: the scene.
        writer: of the products.
        parts: what is known of the rows, top to bottom.
        seconds: that the scene took until now.
    """
    check_seen(sum(part.seen for part in parts), opened.info.inputs)
    stages = StageSeconds.total([part.stages for part in parts])
    runtime, mapping = opened.runtime, opened.config.mapping
    picture = opened.scene.picture()
    extra: dict[str, Any] = {}
    if mapping.write_reliability:
        weighing = check_reliability(runtime, opened.info.model)
        mean = map_reliability(opened.scene, weighing, mapping, opened.layers, writer.write_reliability)
        extra["reliability"] = {"mean_optical_weight": mean}
    return writer.finish(
        picture,
        seconds=seconds,
        assumptions=[
            *assumptions_of(opened, parts),
            *(runtime.assumptions if isinstance(runtime, PlainRuntime) else ()),
        ],
        extra={
            "runtime": {"name": runtime.name, "device": runtime.device, "precision": runtime.precision},
            "cpu_seconds": {name: round(value, 3) for name, value in asdict(stages).items() if name != "wall"},
            "mapping_seconds": round(stages.wall, 3),
            **extra,
        },
        outside=sum(part.outside for part in parts),
    )


def _thresholds(runtime: Runtime, mapping: MapConfig) -> NDArray[np.float32]:
    chosen = runtime.thresholds if mapping.threshold is None else (mapping.threshold,) * 4
    return np.array(chosen, np.float32)


def _info(
    config: PredictConfig,
    scene: Scene,
    layers: Layers,
    runtime: Runtime,
    origin: _Origin,
    thresholds: NDArray[np.float32],
    earlier: Scene | None,
) -> ProductInfo:
    inputs: Mapping[str, tuple[str, ...]] = {
        **scene.inputs, **({} if earlier is None else {"sar_before": config.scene.sar_before}), **layers.inputs,
    }  # fmt: skip
    return ProductInfo(
        model=origin.model,
        threshold=runtime.threshold if isinstance(runtime, PlainRuntime) else _by_sensors(thresholds, runtime.bands),
        knows_permanent_water=layers.knows_permanent_water or earlier is not None,
        datetime=origin.date,
        datetime_source=origin.how,
        inputs=inputs,
        settings=_settings(config),
        many=origin.many,
    )


def _settings(config: PredictConfig) -> dict[str, Any]:
    """Return what decides about the map beside its files."""
    without_effect = {*IMAGES, *LAYERS, "datetime", "threads", *(["max_slope"] if config.scene.dem is None else [])}
    given = {**flatten(config.scene), **flatten(config.mapping)}
    return {name: value for name, value in given.items() if value is not None and name not in without_effect}


def _by_sensors(thresholds: NDArray[np.float32], bands: Bands) -> float | dict[str, float]:
    """Return the one threshold that is in use, or one for each sensor set where they differ."""
    by_set: dict[str, float] = {name: round(float(thresholds[_CODES[name]]), 6) for name in SENSOR_SETS}
    if not bands.optical:
        return by_set["sar"]
    if not bands.sar:
        return by_set["optical"]
    return by_set["both"] if len(set(by_set.values())) == 1 else by_set
