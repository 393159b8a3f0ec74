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
from typing import Any

import numpy as np
from numpy.typing import NDArray

from floodseg.bands import SENSOR_SETS, Bands, SensorSet, band_date
from floodseg.config import flatten
from floodseg.data.acquisition import acquired
from floodseg.data.layers import aoi_window, open_layers
from floodseg.data.scene import Layers, Scene
from floodseg.data.scene_files import open_scene, open_scene_before, reference_grid
from floodseg.grid import Window
from floodseg.inference.classify import classify
from floodseg.inference.mapping import map_scene
from floodseg.inference.product_info import ProductInfo
from floodseg.inference.products import ProductWriter
from floodseg.inference.runtime import Runtime
from floodseg.inference.strip import ProbabilityStrip
from floodseg.inference.thumbnail import ThumbnailScene
from floodseg.inference.water_bits import WaterBits
from floodseg.predict_config import MapConfig, PredictConfig, SceneConfig

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
    if config.scene.datetime is not None:
        date, how = acquired(config.scene)
    else:
        date, how = datetime.now(UTC), "the time of mapping, as arrays have no date"
    return _map(config, scene, None, runtime, _Origin(model, date, how), overwrite, show_progress, began)


def _maps_both_dates(config: SceneConfig, bands: Bands) -> bool:
    """Tell whether an earlier radar image is given to a model of one date, which then maps it too."""
    return bool(config.sar_before) and not any(band_date(name) for name in bands.sar)


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
    scene, mapping = ThumbnailScene(opened), config.mapping
    with closing(open_layers(config.scene, scene.grid)) as layers:
        thresholds = _thresholds(runtime, mapping)
        info = _info(config, scene, layers, runtime, origin, thresholds, earlier=before)
        with ProductWriter(
            config.out_dir, scene.grid, info, overwrite=overwrite, min_area=mapping.min_area, threads=mapping.threads
        ) as writer:
            earlier = None if before is None else _water_of(before, runtime, mapping, thresholds, show_progress)

            def decide(strip: ProbabilityStrip) -> None:
                rows, width = strip.probability.shape
                around = layers.read(Window(strip.top, 0, rows, width))
                wet = None if earlier is None else earlier.read(strip.top, rows)
                writer.write(classify(strip, around, thresholds, wet))

            stages = map_scene(scene, runtime, mapping, decide, progress=show_progress)
            return writer.finish(
                scene.picture(),
                seconds=time.monotonic() - began,
                assumptions=[*scene.assumptions, *layers.assumptions, *([_EARLIER_WATER] if earlier else [])],
                extra={
                    "runtime": {"name": runtime.name, "device": runtime.device, "precision": runtime.precision},
                    "cpu_seconds": {name: round(value, 3) for name, value in asdict(stages).items() if name != "wall"},
                    "mapping_seconds": round(stages.wall, 3),
                },
            )


def _water_of(
    scene: Scene, runtime: Runtime, mapping: MapConfig, thresholds: NDArray[np.float32], show_progress: bool
) -> WaterBits:
    """Map an earlier image and keep where it shows water; where it holds nothing, nothing is known to be old water."""
    bits = WaterBits(scene.grid.height, scene.grid.width)

    def keep(strip: ProbabilityStrip) -> None:
        wet = (strip.validity != 0) & (strip.probability >= thresholds[strip.validity])
        bits.write(strip.top, wet)

    map_scene(scene, runtime, mapping, keep, progress=show_progress)
    return bits


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
        settings={name: value for name, value in flatten(config.mapping).items() if value is not None},
    )


def _by_sensors(thresholds: NDArray[np.float32], bands: Bands) -> float | dict[str, float]:
    """Return the one threshold that is in use, or one for each sensor set where they differ."""
    by_set: dict[str, float] = {name: round(float(thresholds[_CODES[name]]), 6) for name in SENSOR_SETS}
    if not bands.optical:
        return by_set["sar"]
    if not bands.sar:
        return by_set["optical"]
    return by_set["both"] if len(set(by_set.values())) == 1 else by_set
