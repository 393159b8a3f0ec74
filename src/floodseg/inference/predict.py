"""One scene, from its files or arrays to a folder of products.

::

    scene ── windows ── runtime ── probability ─┐
    layers (area, exclusions, permanent water) ─┼── classes ── products
    the earlier radar image, mapped alike ──────┘
"""

import time
from collections.abc import Mapping
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from logging import getLogger
from typing import Any

import numpy as np
from numpy.typing import NDArray

from floodseg.bands import SENSOR_SETS, Bands, SensorSet, band_date
from floodseg.config import flatten
from floodseg.data.acquisition import acquired
from floodseg.data.layers import aoi_window, open_layers
from floodseg.data.scene import Layers, Scene
from floodseg.data.scene_crop import CroppedScene
from floodseg.data.scene_files import open_scene, open_scene_before, reference_grid
from floodseg.errors import DataError
from floodseg.grid import GeoGrid, Window
from floodseg.inference.classify import classify
from floodseg.inference.mapping import map_scene, overlap_of
from floodseg.inference.product_info import ProductInfo
from floodseg.inference.products import ProductWriter
from floodseg.inference.reliability import check_reliability, map_reliability
from floodseg.inference.runtime import Runtime
from floodseg.inference.strip import NODATA, ProbabilityStrip
from floodseg.inference.thumbnail import ThumbnailScene
from floodseg.inference.water_bits import WaterBits
from floodseg.predict_config import IMAGES, LAYERS, MapConfig, PredictConfig, SceneConfig

_LOG = getLogger("floodseg")

_CODES: dict[SensorSet, int] = {"sar": 1, "optical": 2, "both": 3}

_EARLIER_WATER = "water that the radar image of --sar-before shows too counts as permanent water"


def predict_files(
    config: PredictConfig, runtime: Runtime, model: str, *, overwrite: bool = False, show_progress: bool = False
) -> dict[str, Any]:
    """Map the scene that ``config`` names and write its products.

    Args:
        config: the scene, how it is mapped, and where the products go.
        runtime: the model, ready to run.
        model: what the products call it.
        overwrite: replace finished products.
        show_progress: show a bar with the time left.

    Returns:
        The content of ``summary.json``.

    Raises:
        FloodsegError: input, settings or a folder that the user can mend.
    """
    began = time.monotonic()
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
        date, how = acquired(scene_config)
        return _map(config, scene, before, runtime, _Origin(model, date, how), overwrite, show_progress, began)


def predict_arrays(
    scene: Scene,
    config: PredictConfig,
    runtime: Runtime,
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
    return _map(config, scene, None, runtime, _Origin(model, date, how), overwrite, show_progress, began)


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
    _LOG.warning("%s: has no coordinate system, so the products have no place on the Earth and no areas", names)


@dataclass(frozen=True, slots=True)
class _Origin:
    """What the products are said to come from."""

    model: str
    date: datetime
    how: str


def _map(
    config: PredictConfig,
    opened: Scene,
    before: Scene | None,
    runtime: Runtime,
    origin: _Origin,
    overwrite: bool,
    show_progress: bool,
    began: float,
) -> dict[str, Any]:
    mapping = config.mapping
    weighing = check_reliability(runtime, origin.model) if mapping.write_reliability else None
    scene = ThumbnailScene(opened, overlap_of(runtime, mapping))
    with closing(open_layers(config.scene, scene.grid)) as layers, ExitStack() as kept:
        thresholds = _thresholds(runtime, mapping)
        info = _info(config, scene, layers, runtime, origin, thresholds, earlier=before)
        with ProductWriter(
            config.out_dir, scene.grid, info, overwrite=overwrite, min_area=mapping.min_area, threads=mapping.threads,
            reliability=weighing is not None,
        ) as writer:  # fmt: skip
            earlier: WaterBits | None = None
            notes: tuple[str, ...] = ()
            if before is not None:
                earlier = kept.enter_context(closing(WaterBits(scene.grid.height, scene.grid.width)))
                notes = _map_before(before, earlier, runtime, mapping, thresholds, show_progress)
            sink = _Classes(layers, thresholds, writer, earlier)
            stages = map_scene(scene, runtime, mapping, sink, progress=show_progress)
            sink.check_seen(info.inputs)
            extra: dict[str, Any] = {}
            if weighing is not None:
                mean = map_reliability(
                    opened, weighing, mapping, layers, writer.write_reliability, progress=show_progress
                )
                extra["reliability"] = {"mean_optical_weight": mean}
            return writer.finish(
                scene.picture(),
                seconds=time.monotonic() - began,
                assumptions=[*scene.assumptions, *layers.assumptions, *notes],
                extra={
                    "runtime": {"name": runtime.name, "device": runtime.device, "precision": runtime.precision},
                    "cpu_seconds": {name: round(value, 3) for name, value in asdict(stages).items() if name != "wall"},
                    "mapping_seconds": round(stages.wall, 3),
                    **extra,
                },
                outside=sink.outside,
            )


@dataclass(slots=True)
class _Classes:
    """Turns rows of probability into rows of the products, and counts what the area of interest holds of them."""

    layers: Layers
    thresholds: NDArray[np.float32]
    writer: ProductWriter
    earlier: WaterBits | None
    outside: int = 0
    seen: int = 0

    def __call__(self, strip: ProbabilityStrip) -> None:
        rows, width = strip.probability.shape
        around = self.layers.read(Window(strip.top, 0, rows, width))
        wet = None if self.earlier is None else self.earlier.read(strip.top, rows)
        product = classify(strip, around, self.thresholds, wet)
        self.outside += int((~around.inside).sum())
        self.seen += int((product.classes != NODATA).sum())
        self.writer.write(product)

    def check_seen(self, inputs: Mapping[str, tuple[str, ...]]) -> None:
        """Raise DataError where there is nothing on the map."""
        if self.seen:
            return
        names = " ".join(f"--{sensor} {' '.join(inputs[sensor])}" for sensor in ("sar", "optical") if sensor in inputs)
        where = f" within --aoi {' '.join(inputs['aoi'])}" if "aoi" in inputs else ""
        raise DataError(
            f"{names or 'the arrays'}: no pixel{where} is valid, all is nodata, beyond the swath or under cloud: give "
            "an image that shows the place, or correct its nodata value"
        )


def _map_before(
    scene: Scene,
    water: WaterBits,
    runtime: Runtime,
    mapping: MapConfig,
    thresholds: NDArray[np.float32],
    show_progress: bool,
) -> tuple[str, ...]:
    """Map an earlier image, keep where it shows water, and return what that takes for granted.

    Where it holds nothing, nothing is known to be old water.
    """
    seen = 0

    def keep(strip: ProbabilityStrip) -> None:
        nonlocal seen
        seen += int(np.count_nonzero(strip.validity))
        water.write(strip.top, (strip.validity != 0) & (strip.probability >= thresholds[strip.validity]))

    map_scene(scene, runtime, mapping, keep, progress=show_progress)
    names = " ".join(scene.inputs["sar_before"])
    if not seen:
        raise DataError(
            f"--sar-before {names}: no pixel of it is valid over the scene, so it tells no old water from new: give an "
            "image that shows the place, or leave it out"
        )
    share = seen / (scene.grid.height * scene.grid.width)
    covers = f"{names}: covers {share:.1%} of the scene; where it holds nothing, water is taken as flood"
    return (*scene.assumptions, _EARLIER_WATER, *([covers] if share < 1 else []))


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
        threshold=_by_sensors(thresholds, runtime.bands),
        knows_permanent_water=layers.knows_permanent_water or earlier is not None,
        datetime=origin.date,
        datetime_source=origin.how,
        inputs=inputs,
        settings=_settings(config),
    )


def _settings(config: PredictConfig) -> dict[str, Any]:
    """Return what decides about the map beside its files."""
    names_files = (*IMAGES, *LAYERS, "datetime")
    scene = {name: value for name, value in flatten(config.scene).items() if name not in names_files}
    if config.scene.dem is None:
        del scene["max_slope"]
    return {name: value for name, value in {**scene, **flatten(config.mapping)}.items() if value is not None}


def _by_sensors(thresholds: NDArray[np.float32], bands: Bands) -> float | dict[str, float]:
    """Return the one threshold that is in use, or one for each sensor set where they differ."""
    by_set: dict[str, float] = {name: round(float(thresholds[_CODES[name]]), 6) for name in SENSOR_SETS}
    if not bands.optical:
        return by_set["sar"]
    if not bands.sar:
        return by_set["optical"]
    return by_set["both"] if len(set(by_set.values())) == 1 else by_set
