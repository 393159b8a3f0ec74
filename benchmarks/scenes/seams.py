"""Dependence of a map on the tile size.

    python -m benchmarks.scenes.seams --models s1-lite --data DIR --json benchmarks/results/seams.json

Simulated scenes and a mosaic of the Spain chips are mapped with tiles of 256, 512 and 1024 pixels. The first figures
describe, for each pixel, the largest difference of probability between any two of these maps. Others compare the step
of the probability across tile borders, where two windows are blended, with the step at the same places in a map with
other borders. Each model is measured with its learned attention and with attention weight 0, which leaves only the
receptive field of its convolutions. ``--overlaps`` adds further overlaps.
"""

import copy
import math
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from cyclopts import App, Parameter
from numpy.typing import NDArray

from benchmarks.report import report
from benchmarks.scenes.spain import build_mosaic
from floodseg.app.exit_codes import run_and_exit
from floodseg.bands import IGNORE, WATER, Bands, SensorSet
from floodseg.chips.chip import Chip
from floodseg.config.predict import MapConfig
from floodseg.datasets.synthetic import simulate_scene
from floodseg.errors import ConfigError
from floodseg.geo.grid import GeoGrid, Window
from floodseg.geo.tiling import BLEND_WIDTH, Tiling
from floodseg.inference.windows.map_scene import map_scene, plan_tiling
from floodseg.models.checkpoint.zoo import load_model
from floodseg.models.model import FloodModel
from floodseg.models.networks.decoder import EfficientDualBranchDecoder
from floodseg.models.networks.lite import LiteFloodNet
from floodseg.products.strips import ProbabilityStrip
from floodseg.runtimes.torch_runtime import TorchRuntime
from floodseg.scene.scene import SceneWindow

app = App(help="Dependence of a map on the tile size.", default_parameter=Parameter(consume_multiple=True))

_ONE_PERCENT = 0.01


@dataclass
class ChipScene:
    """Chip with the interface of a scene; pixels outside the chip are invalid."""

    chip: Chip
    bands: Bands
    inputs: dict[str, tuple[str, ...]] = field(default_factory=dict)
    assumptions: tuple[str, ...] = ()
    cloud_masks: tuple[str, ...] = ()

    @property
    def grid(self) -> GeoGrid:
        """Pixel grid without coordinates."""
        return GeoGrid(None, (1.0, 0.0, 0.0, 0.0, -1.0, 0.0), *self.chip.label.shape)

    def read(self, window: Window) -> SceneWindow:
        """Return a window, which may extend beyond the bottom and right edge of the chip."""
        chip = self.chip
        valid = _cut(chip.optical_valid, window)
        return SceneWindow(
            sar=_cut(chip.sar, window),
            optical=_cut(chip.optical, window),
            sar_valid=_cut(chip.sar_valid, window),
            optical_valid=valid,
            optical_hidden=np.zeros_like(valid),
        )

    def close(self) -> None:
        """Do nothing: no file is open."""


@app.default
def seams(
    *,
    models: tuple[str, ...] = ("s1-lite",),
    data: Path | None = None,
    tiles: tuple[int, ...] = (256, 512, 1024),
    overlaps: tuple[int, ...] = (),
    events: tuple[str, ...] = ("delta", "valley", "plain", "marsh"),
    size: int = 1536,
    threads: int = 1,
    json_file: Annotated[Path | None, Parameter(name="--json")] = None,
) -> None:
    """Compare maps of several tile sizes.

    Parameters
    ----------
    models
        Names of shipped models, run folders or checkpoints.
    data
        Official tree of Sen1Floods11, for the mosaic of Spain.
    tiles
        Tile sizes in pixels.
    overlaps
        Overlaps in pixels, in addition to the default of each model.
    events
        Simulated events; each gives one scene.
    size
        Height and width in pixels of the simulated scenes and of the mosaic (1344 fit four chips of Spain).
    threads
        Windows mapped in parallel.
    json_file
        Write the figures as one JSON object.
    """
    rows = []
    for name in models:
        loaded = load_model(name)
        scenes = list(_scenes(loaded.spec.bands, events, size, data))
        for attention, model in (("0", without_attention(loaded)), ("learned", loaded)):
            runtime = TorchRuntime(model)
            for overlap, scene in product(sorted({runtime.overlap, *overlaps}), scenes):
                row = compare_tiles(scene, runtime, MapConfig(overlap=overlap, threads=threads), tiles)
                rows.append(
                    {"model": name, "attention": attention, "scene": scene.chip.name, "overlap": overlap, **row}
                )
                print(rows[-1], file=sys.stderr, flush=True)
    report({"tiles": tiles, "size": size, "rows": rows}, json_file)


@torch.no_grad()
def without_attention(model: FloodModel) -> FloodModel:
    """Return a copy of a model whose attention has weight 0.

    Raises:
        ConfigError: the attention of the architecture has no weight.
    """
    model = copy.deepcopy(model)
    if isinstance(model.network, LiteFloodNet):
        model.network.context.gain.zero_()
    elif isinstance(decoder := getattr(model.network, "decoder", None), EfficientDualBranchDecoder):
        decoder.alpha.fill_(-math.inf)  # weight 0 of the transformer
    else:
        raise ConfigError(
            f"--models: the attention of '{model.spec.architecture}' has no weight; give lite or efficient"
        )
    return model


def compare_tiles(scene: ChipScene, runtime: TorchRuntime, config: MapConfig, tiles: tuple[int, ...]) -> dict[str, Any]:
    """Map a scene with each tile size, and describe the largest difference of each valid pixel."""
    plans = {tile: plan_tiling(scene.grid, runtime, replace(config, tile_size=tile)) for tile in tiles}
    maps = np.stack([_map(scene, runtime, replace(config, tile_size=tile)) for tile in tiles])
    chip = scene.chip
    valid = np.asarray(chip.sar_valid | chip.optical_valid)
    spread = np.ptp(maps, axis=0)[valid]
    thresholds = np.asarray(runtime.thresholds)[chip.sar_valid + 2 * chip.optical_valid.astype(np.int64)]
    water: NDArray[np.bool_] = np.asarray(maps >= thresholds)
    labelled = valid & (chip.label != IGNORE)
    return {
        "megapixels": round(spread.size / 1e6, 3),
        "share_within_a_point": round(float((spread <= _ONE_PERCENT).mean()), 6),
        "quantile_99_9": round(float(np.quantile(spread, 0.999)), 5),
        "mean": round(float(spread.mean()), 6),
        "max": round(float(spread.max()), 4),
        "share_of_other_class": round(float(np.ptp(water.astype(np.uint8), axis=0)[valid].mean()), 6),
        "water_iou": {
            tile: round(_iou(each[labelled], chip.label[labelled] == WATER), 4)
            for tile, each in zip(tiles, water, strict=True)
        },
        "steps": {
            tile: _steps(plan, maps[index], maps[index - 1], valid) for index, (tile, plan) in enumerate(plans.items())
        },
        "computed_per_pixel": {tile: round(_computed_per_pixel(plan), 2) for tile, plan in plans.items()},
    }


def _computed_per_pixel(plan: Tiling) -> float:
    """Return the pixels of all windows per pixel of the scene, which shows the cost of the overlap."""
    return plan.rows.count * plan.columns.count * math.prod(plan.shape) / (plan.rows.size * plan.columns.size)


def _steps(
    plan: Tiling, own: NDArray[np.float32], other: NDArray[np.float32], valid: NDArray[np.bool_]
) -> dict[str, float | None]:
    """Return the mean step of the probability over the width of the zone in which two windows are blended.

    ``borders``: across the borders of ``plan``, in its own map. ``same_places``: at the same places, in the map of
    another tile size. ``everywhere``: over the same distance at all places of its own map. None without a border.
    """
    rows, columns = ([axis.fade_start(index) for index in range(1, axis.count)] for axis in (plan.rows, plan.columns))
    everywhere = [range(1, size - BLEND_WIDTH) for size in valid.shape]
    return {
        "borders": _mean_step(own, valid, rows, columns),
        "same_places": _mean_step(other, valid, rows, columns),
        "everywhere": _mean_step(own, valid, *everywhere),
    }


def _mean_step(
    probability: NDArray[np.float32], valid: NDArray[np.bool_], rows: Sequence[int], columns: Sequence[int]
) -> float | None:
    steps = []
    for image, mask, starts in ((probability, valid, rows), (probability.T, valid.T, columns)):
        before, after = np.array(starts, int) - 1, np.array(starts, int) + BLEND_WIDTH
        steps.append(np.abs(image[after] - image[before])[mask[after] & mask[before]])
    together = np.concatenate(steps)
    return round(float(together.mean()), 6) if together.size else None


def _iou(mapped: NDArray[np.bool_], label: NDArray[np.bool_]) -> float:
    return float((mapped & label).sum() / max((mapped | label).sum(), 1))


def _map(scene: ChipScene, runtime: TorchRuntime, config: MapConfig) -> NDArray[np.float32]:
    result = np.empty((scene.grid.height, scene.grid.width), np.float32)

    def collect(strip: ProbabilityStrip) -> None:
        result[strip.top : strip.top + len(strip.probability)] = strip.probability

    map_scene(scene, runtime, config, collect)
    return result


def _scenes(bands: Bands, events: tuple[str, ...], size: int, data: Path | None) -> Iterator[ChipScene]:
    sensors: SensorSet = "both" if bands.sar and bands.optical else "sar" if bands.sar else "optical"
    for index, event in enumerate(events):
        chip = simulate_scene(
            (11, index), size, size, event, sensors=sensors, optical_bands=bands.optical, name=f"simulated {event}"
        )
        yield ChipScene(chip, bands)
    if data is not None:
        yield ChipScene(build_mosaic(data, size).chip(bands), bands)


def _cut(array: NDArray[Any], window: Window) -> NDArray[Any]:
    part = array[..., window.top : window.top + window.height, window.left : window.left + window.width]
    beyond = (window.height - part.shape[-2], window.width - part.shape[-1])
    return np.pad(part, [(0, 0)] * (array.ndim - 2) + [(0, beyond[0]), (0, beyond[1])])


if __name__ == "__main__":
    run_and_exit(app)
