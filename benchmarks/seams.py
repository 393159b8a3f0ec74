"""How much a map depends on the windows that it is made in.

    python benchmarks/seams.py --models s1-lite --data DIR --json benchmarks/results/seams.json

Simulated scenes, and the mosaic of the chips of Spain that lie on one grid, are mapped with tiles of 256, 512 and 1024
pixels. Each pixel counts with the largest difference of its probability between any two of them. Each model is taken as
it is, and with the weight of its attention at 0: what is left then is the reach of its convolutions, and ``--overlaps``
shows how much of it an overlap hides.
"""

import copy
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import product
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from cyclopts import App, Parameter
from numpy.typing import NDArray

from floodseg.app.cli import guarded
from floodseg.bands import IGNORE, WATER, Bands, SensorSet
from floodseg.config import DataConfig
from floodseg.data.chip import Chip
from floodseg.data.layouts import open_layout
from floodseg.data.scene import SceneWindow
from floodseg.data.synthetic import simulate_scene
from floodseg.environment import hardware, versions
from floodseg.errors import ConfigError
from floodseg.files import write_text
from floodseg.grid import GeoGrid, Window
from floodseg.inference.mapping import map_scene, plan_tiling
from floodseg.inference.strip import ProbabilityStrip
from floodseg.inference.torch_runtime import TorchRuntime
from floodseg.models.decoder import EfficientDualBranchDecoder
from floodseg.models.lite import LiteFloodNet
from floodseg.models.model import FloodModel
from floodseg.predict_config import MapConfig
from floodseg.release.shipped import load_model

app = App(help="How much a map depends on its windows.", default_parameter=Parameter(consume_multiple=True))

_ONE_POINT = 0.01


@dataclass
class ChipScene:
    """A chip as a scene; beyond it nothing is valid."""

    chip: Chip
    bands: Bands
    inputs: dict[str, tuple[str, ...]] = field(default_factory=dict)
    assumptions: tuple[str, ...] = ()

    @property
    def grid(self) -> GeoGrid:
        """The pixels alone: no coordinates are needed."""
        return GeoGrid(None, (1.0, 0.0, 0.0, 0.0, -1.0, 0.0), *self.chip.label.shape)

    def read(self, window: Window) -> SceneWindow:
        """Return a window that may reach beyond the chip at the bottom and right."""
        chip = self.chip
        return SceneWindow(*(_cut(x, window) for x in (chip.sar, chip.optical, chip.sar_valid, chip.optical_valid)))

    def close(self) -> None:
        """Nothing is open."""


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
    """Compare maps in windows of several sizes.

    Parameters
    ----------
    models
        Shipped names, run folders or checkpoints.
    data
        The official tree of Sen1Floods11, for the mosaic of Spain.
    tiles
        Tile sizes in pixels.
    overlaps
        Overlaps in pixels to try without attention, beside the one that each model needs.
    events
        Simulated events, one scene each.
    size
        Pixels a side of the simulated scenes and of the mosaic.
    threads
        Windows mapped at a time.
    json_file
        Write the figures as one JSON object.
    """
    rows = []
    for name in models:
        learned = load_model(name)
        scenes = list(_scenes(learned.spec.bands, events, size, data))
        for attention, model in (("0", without_attention(learned)), ("learned", learned)):
            runtime = TorchRuntime(model)
            tried = {runtime.overlap, *(overlaps if attention == "0" else ())}
            for overlap, scene in product(sorted(tried), scenes):
                row = compare_tiles(scene, runtime, MapConfig(overlap=overlap, threads=threads), tiles)
                rows.append(
                    {"model": name, "attention": attention, "scene": scene.chip.name, "overlap": overlap, **row}
                )
                print(rows[-1], file=sys.stderr, flush=True)
    document = {
        "command": " ".join(sys.argv),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "hardware": hardware(),
        "versions": versions(),
        "tiles": tiles,
        "size": size,
        "rows": rows,
    }
    text = json.dumps(document, indent=2)
    print(text)
    if json_file is not None:
        write_text(json_file, text + "\n")


@torch.no_grad()
def without_attention(model: FloodModel) -> FloodModel:
    """Return a copy of a model whose attention has weight 0.

    Raises:
        ConfigError: an architecture whose attention cannot be left out.
    """
    model = copy.deepcopy(model)
    if isinstance(model.network, LiteFloodNet):
        model.network.context.gain.zero_()
    elif isinstance(decoder := getattr(model.network, "decoder", None), EfficientDualBranchDecoder):
        decoder.set_transformer_weight(0)
    else:
        raise ConfigError(
            f"--models: the attention of '{model.spec.architecture}' has no weight; give lite or efficient"
        )
    return model


def compare_tiles(
    scene: ChipScene, runtime: TorchRuntime, config: MapConfig, tiles: tuple[int, ...]
) -> dict[str, float | dict[int, float]]:
    """Map a scene with each tile size, and describe the largest difference of each valid pixel."""
    configs = {tile: replace(config, tile_size=tile) for tile in tiles}
    maps = np.stack([_mapped(scene, runtime, each) for each in configs.values()])
    chip = scene.chip
    seen = np.asarray(chip.sar_valid | chip.optical_valid)
    spread = np.ptp(maps, axis=0)[seen]
    thresholds = np.asarray(runtime.thresholds)[chip.sar_valid + 2 * chip.optical_valid.astype(np.int64)]
    water: NDArray[np.bool_] = np.asarray(maps >= thresholds)
    labelled = seen & (chip.label != IGNORE)
    return {
        "megapixels": round(spread.size / 1e6, 3),
        "share_within_a_point": round(float((spread <= _ONE_POINT).mean()), 6),
        "quantile_99_9": round(float(np.quantile(spread, 0.999)), 5),
        "mean": round(float(spread.mean()), 6),
        "max": round(float(spread.max()), 4),
        "share_of_other_class": round(float(np.ptp(water.astype(np.uint8), axis=0)[seen].mean()), 6),
        "water_iou": {
            tile: round(_iou(each[labelled], chip.label[labelled] == WATER), 4)
            for tile, each in zip(tiles, water, strict=True)
        },
        "computed_per_pixel": {
            tile: round(plan_tiling(scene.grid, runtime, each).computed_share(), 2) for tile, each in configs.items()
        },
    }


def _iou(mapped: NDArray[np.bool_], label: NDArray[np.bool_]) -> float:
    return float((mapped & label).sum() / max((mapped | label).sum(), 1))


def _mapped(scene: ChipScene, runtime: TorchRuntime, config: MapConfig) -> NDArray[np.float32]:
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
        yield ChipScene(_spain(data, bands, size), bands)


def _spain(data: Path, bands: Bands, size: int) -> Chip:
    """Return the window of ``size`` pixels a side that holds most whole chips of Spain, invalid between them."""
    config = DataConfig(data=data, layout="sen1floods11", sensors="sar", cache_gb=0)
    chips = []
    for split in ("train", "valid"):
        chipset = open_layout(config, split)
        chips += [chipset.read(index) for index, event in enumerate(chipset.events) if event == "Spain"]
    if not chips or chips[0].sar.shape[0] != len(bands.sar):
        raise ConfigError(f"--data {data}: must hold chips of Spain with {len(bands.sar)} radar bands; leave it out")
    corners = [_corner(chip) for chip in chips]
    fits = [
        [
            (chip, row - top, column - left)
            for chip, (row, column) in zip(chips, corners, strict=True)
            if min(row - top, column - left, top + size - row - 512, left + size - column - 512) >= 0
        ]
        for top, left in product({row for row, _ in corners}, {column for _, column in corners})
    ]
    sar, label = np.zeros((len(bands.sar), size, size), np.float32), np.full((size, size), IGNORE, np.uint8)
    valid = np.zeros((size, size), np.bool_)
    for chip, row, column in max(fits, key=len):
        part = slice(row, row + 512), slice(column, column + 512)
        sar[:, *part], valid[part], label[part] = chip.sar, chip.sar_valid, chip.label
    return Chip(
        name="mosaic of Spain", event="Spain", sar=sar, sar_valid=valid, label=label, grid=None,
        optical=np.zeros((len(bands.optical), size, size), np.float32), optical_valid=np.zeros_like(valid),
    )  # fmt: skip


def _corner(chip: Chip) -> tuple[int, int]:
    """Return row and column of a chip's corner on the grid that all chips of Spain share."""
    assert chip.grid is not None
    a, _, c, _, e, f = chip.grid.transform
    return round(f / e), round(c / a)


def _cut(array: NDArray[Any], window: Window) -> NDArray[Any]:
    part = array[..., window.top : window.top + window.height, window.left : window.left + window.width]
    beyond = (window.height - part.shape[-2], window.width - part.shape[-1])
    return np.pad(part, [(0, 0)] * (array.ndim - 2) + [(0, beyond[0]), (0, beyond[1])])


if __name__ == "__main__":
    guarded(app)
