"""Tests of the run files in recipes/: all are valid, and the fused recipe trains on both sensors."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

import scenes
from floodseg.app import cli
from floodseg.models.checkpoint.zoo import load_model
from floodseg.models.multi_sensor import plain_models

RECIPES = sorted((Path(__file__).parents[2] / "recipes").glob("*.toml"))
HAND = Path("v1.1/data/flood_events/HandLabeled")
SPLITS = Path("v1.1/splits/flood_handlabeled")
CHIPS = {"train": ("Ghana_1", "Ghana_2", "Spain_3", "Spain_4"), "valid": ("USA_5", "USA_6")}
SHORT = ["--epochs", "2", "--crop-size", "32", "--crops-per-chip", "1", "--batch-size", "2", "--workers", "0"]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """The official tree as it is published: float32 dB with NaN, 13 bands int16 without names, int16 labels."""
    for split, names in CHIPS.items():
        for name in names:
            db = scenes.sar_values(64, 64, seed=len(name))
            db[:, :4, :4] = np.nan
            scenes.write_sar(tmp_path / HAND / f"S1Hand/{name}_S1Hand.tif", db)
            reflectance = scenes.optical_values(64, 64)
            scenes.write_optical(tmp_path / HAND / f"S2Hand/{name}_S2Hand.tif", reflectance)
            scenes.write_label(tmp_path / HAND / f"LabelHand/{name}_LabelHand.tif", scenes.label_values(64, 64))
        (tmp_path / SPLITS).mkdir(parents=True, exist_ok=True)
        rows = "".join(f"{name}_S1Hand.tif,{name}_LabelHand.tif\n" for name in names)
        (tmp_path / SPLITS / f"flood_{split}_data.csv").write_text(rows)
    return tmp_path


@pytest.mark.parametrize("recipe", RECIPES, ids=[recipe.stem for recipe in RECIPES])
def test_recipe_is_valid(recipe: Path) -> None:
    command, bound, _ = cli.app.parse_args(cli._take_run_file(["train", str(recipe)]), exit_on_error=False)
    assert command is cli.train
    assert bound.arguments["config"].out_dir.name == ("floodseg" if recipe.stem == "demo" else recipe.stem)


def test_run_file_may_set_data(tmp_path: Path) -> None:
    """The key "data" is also the name of a command."""
    run_file = tmp_path / "run.toml"
    run_file.write_text('data = "chips"\n')
    _, bound, _ = cli.app.parse_args(cli._take_run_file(["train", str(run_file)]), exit_on_error=False)
    assert bound.arguments["config"].data.data == Path("chips")


def test_fused_recipe_trains_on_both_sensors(tree: Path, tmp_path: Path) -> None:
    (recipe,) = (path for path in RECIPES if path.stem == "sen1floods11-fused")
    out_dir = tmp_path / "run"
    with pytest.raises(SystemExit) as stop:
        cli.main(["train", str(recipe), "--data", str(tree), "--out-dir", str(out_dir), "--precision", "fp32", *SHORT])
    assert stop.value.code == 0
    with (out_dir / "metrics.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 2
    assert json.loads((out_dir / "summary.json").read_text())
    model = load_model(str(out_dir))
    assert (len(model.spec.bands.sar), len(model.spec.bands.optical)) == (2, 13)
    assert list(plain_models(model)) == ["sar", "optical", "fused"]
