"""Tiny trained runs, one for each kind; tests that change one copy it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from floodseg.config.train import TrainConfig
from floodseg.training import records
from floodseg.training.train import train


@pytest.fixture(autouse=True)
def _no_curves(monkeypatch: pytest.MonkeyPatch) -> None:
    """Replace the drawing of curves, which takes longer than a run; runs of fixtures draw them."""
    monkeypatch.setattr(records, "curves_picture", lambda path, _: path.touch())


TINIEST = {"synthetic_chips": 4, "synthetic_size": 32, "crop_size": 32, "epochs": 2}
"""Two epochs of two steps."""


@pytest.fixture(scope="session")
def radar_run(tmp_path_factory: pytest.TempPathFactory, make_config: Callable[..., TrainConfig]) -> Path:
    """The folder of a short run on radar only."""
    config = make_config(tmp_path_factory.mktemp("radar") / "run", sensors="sar", epochs=2)
    train(config, show_progress=False)
    return config.out_dir


@pytest.fixture(scope="session")
def specialists_run(tmp_path_factory: pytest.TempPathFactory, make_config: Callable[..., TrainConfig]) -> TrainConfig:
    """The settings of a finished run that trained its specialists first."""
    folder = tmp_path_factory.mktemp("specialists") / "run"
    config = make_config(folder, specialists=("train",), cloud=0.5, **TINIEST)
    train(config, show_progress=False)
    return config
