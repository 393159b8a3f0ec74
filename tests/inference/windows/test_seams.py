"""Dependence of maps on tile size and overlap: receptive field of convolutions, and attention."""

import math
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from floodseg.chips.chip import Chip
from floodseg.config.data import DataConfig
from floodseg.config.predict import MapConfig
from floodseg.datasets.layouts import open_layout
from floodseg.datasets.synthetic import simulate_scene
from floodseg.inference.windows.map_scene import map_scene
from floodseg.models.checkpoint.zoo import load_model
from floodseg.models.decision import Decision, Decisions
from floodseg.models.model import FloodModel
from floodseg.models.registry import build_model
from floodseg.runtimes.torch_runtime import TorchRuntime
from map_fakes import MemoryScene, StripCollector

REAL_CHIPS = ("Ghana_103272", "India_1017769", "Paraguay_1019808")
SIZE = 832


@pytest.fixture(scope="module")
def simulated() -> Chip:
    return simulate_scene(5, SIZE, SIZE, "delta", sensors="sar")


@pytest.fixture(scope="module")
def shipped() -> FloodModel:
    return load_model("s1-lite")


@pytest.fixture(scope="module")
def shipped_without_attention() -> FloodModel:
    model = load_model("s1-lite")
    with torch.no_grad():
        model.network.context.gain.zero_()
    return model


@pytest.fixture(scope="module")
def efficient_without_transformer(simulated: Chip) -> FloodModel:
    """Return an untrained model with batch statistics of the scene and logit differences as large as after training."""
    torch.manual_seed(0)
    model = build_model("efficient", encoder="resnet18", optical_channels=0)
    torch.nn.init.constant_(model.network.decoder.alpha, -math.inf)  # weight 0 of the transformer
    for layer in model.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.momentum = None  # average over all batches
    image = torch.from_numpy(simulated.sar[None, :, :256, :256])
    with torch.no_grad():
        model.train()(image)
        logits = model.eval()(image)
    spread = float((logits[:, 1] - logits[:, 0]).std())
    model.decisions = Decisions(sar=Decision(0.5, spread / 4))
    return model


def scene_of(chip: Chip) -> MemoryScene:
    return MemoryScene(chip.sar, chip.sar_valid, chip.optical, chip.optical_valid)


def spread(model: FloodModel, chip: Chip, tiles: tuple[int, ...], overlap: int | None = None) -> NDArray[np.float32]:
    """Return the largest difference of each valid pixel's probability between any two tile sizes."""
    runtime, scene, maps = TorchRuntime(model, "cpu"), scene_of(chip), []
    for tile in tiles:
        collected = StripCollector(scene.grid)
        map_scene(scene, runtime, MapConfig(tile_size=tile, overlap=overlap, threads=1), collected)
        maps.append(collected.probability)
    return np.asarray(np.ptp(np.stack(maps), axis=0)[chip.sar_valid])


def test_shipped_model_without_attention_does_not_depend_on_the_tile_size(
    shipped_without_attention: FloodModel, simulated: Chip
) -> None:
    assert np.quantile(spread(shipped_without_attention, simulated, (256, 512, 1024)), 0.999) <= 0.01
    # a quarter of the overlap is too small
    assert np.quantile(spread(shipped_without_attention, simulated, (256, 1024), overlap=64), 0.999) > 0.01


@pytest.mark.slow
def test_efficient_without_transformer_does_not_depend_on_the_tile_size(
    efficient_without_transformer: FloodModel, simulated: Chip
) -> None:
    part = replace(
        simulated, sar=simulated.sar[:, :640, :640], sar_valid=simulated.sar_valid[:640, :640],
        optical=simulated.optical[:, :640, :640], optical_valid=simulated.optical_valid[:640, :640],
    )  # fmt: skip
    assert np.quantile(spread(efficient_without_transformer, part, (256, 1024)), 0.999) <= 0.01
    assert np.quantile(spread(efficient_without_transformer, part, (256, 1024), overlap=64), 0.999) > 0.01


@pytest.fixture(scope="module")
def real_chips() -> list[Chip]:
    root = os.environ.get("FLOODSEG_DATA")
    if not root:
        pytest.skip("real radar chips need FLOODSEG_DATA")
    config = DataConfig(data=Path(root) / "sen1floods11", layout="sen1floods11", sensors="sar", cache_gb=0)
    splits = [open_layout(config, split) for split in ("train", "valid")]
    return [chips.read(chips.names.index(name)) for name in REAL_CHIPS for chips in splits if name in chips.names]


def test_shipped_model_without_attention_does_not_depend_on_windows_of_real_chips(
    shipped_without_attention: FloodModel, real_chips: list[Chip]
) -> None:
    # tiles of 64 and 128 pixels: windows of 320 and 384, every 64 and 128 pixels, against one window of 512
    change = np.concatenate([spread(shipped_without_attention, chip, (64, 128, 1024)) for chip in real_chips])
    assert len(real_chips) == len(REAL_CHIPS)
    assert np.quantile(change, 0.999) <= 0.01


def test_effect_of_attention_on_real_chips_is_as_documented(shipped: FloodModel, real_chips: list[Chip]) -> None:
    change = np.concatenate([spread(shipped, chip, (64, 128, 1024)) for chip in real_chips])
    assert 1e-4 < change.mean() <= 0.002
    assert np.quantile(change, 0.999) <= 0.05


@pytest.mark.slow
def test_effect_of_attention_on_a_simulated_scene_is_as_documented(shipped: FloodModel, simulated: Chip) -> None:
    change = spread(shipped, simulated, (256, 512))
    assert 1e-4 < change.mean() <= 0.015
    # an overlap as large as the attention context removes the effect
    change = spread(shipped, simulated, (256, 512), overlap=512)
    assert np.quantile(change, 0.999) <= 0.01
