"""Tiny training settings, and networks made by hand whose scores can be counted."""

from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from floodseg.bands import Bands, BandStatistics
from floodseg.config import AugmentConfig, DataConfig, ModelConfig, OptimConfig, TrainConfig
from floodseg.models.model import FloodModel, ModelSpec

MakeConfig = Callable[..., TrainConfig]

TINY = TrainConfig(
    data=DataConfig(layout="synthetic", synthetic_chips=6, synthetic_size=64),
    model=ModelConfig("lite"),
    augment=AugmentConfig(crop_size=48),
    optim=OptimConfig(epochs=3, batch_size=2, lr=3e-3, precision="fp32", workers=0, patience=0),
)


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    """Compute on one thread: images are so small that several would only wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def make_config() -> MakeConfig:
    """Return a function that gives a run of about a second, with changes by field name whatever their group."""

    def make(out_dir: Path, **changes: Any) -> TrainConfig:
        groups: dict[str, Any] = {}
        for group in ("data", "model", "augment", "optim"):
            settings = getattr(TINY, group)
            known = {entry.name for entry in fields(settings)} & changes.keys()
            groups[group] = replace(settings, **{name: changes.pop(name) for name in known})
        assert not changes, f"no such setting: {changes}"
        return TrainConfig(out_dir=out_dir, **groups)

    return make


class RuleNetwork(nn.Module):
    """Margin of water by rule: ``-20 - VH`` from radar, ``100 (B03 - B08)`` from optical, their mean from both.

    It has the one parameter that every model needs to say where it lives.
    """

    def __init__(self, bands: Bands) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))
        self.bands = bands

    def forward(self, sar: Tensor, optical: Tensor, sar_valid: Tensor, optical_valid: Tensor) -> Tensor:
        total = torch.zeros_like(sar_valid)
        if self.bands.sar:
            total = total + sar_valid * (-20 - sar[:, [self.bands.sar.index("VH")]])
        if self.bands.optical:
            green, infrared = (self.bands.optical.index(name) for name in ("B03", "B08"))
            total = total + optical_valid * 100 * (optical[:, [green]] - optical[:, [infrared]])
        margin = self.scale * total / (sar_valid + optical_valid).clamp(min=1)
        return torch.cat((torch.zeros_like(margin), margin), dim=1)


@pytest.fixture(scope="session")
def rule_model() -> Callable[[Bands], FloodModel]:
    """Return a function that gives a model with ``RuleNetwork``, whose normalisation leaves values as they are."""

    def make(bands: Bands) -> FloodModel:
        plain = BandStatistics(mean=0, std=1, low=-1000, high=1000)
        return FloodModel(
            RuleNetwork(bands), ModelSpec("rule", None, bands), [plain] * len(bands.sar), [plain] * len(bands.optical)
        )

    return make
