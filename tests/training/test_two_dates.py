"""A model of two dates and both sensors: training with withheld sensors, scores with each sensor, pictures."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from floodseg.bands import Bands
from floodseg.config.train import TrainConfig
from floodseg.errors import ConfigError
from floodseg.evaluation.evaluate import evaluate
from floodseg.models.checkpoint.checkpoint import load_checkpoint
from floodseg.training.train import train

SIZE = 48


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sets 1, 11, 21, ...: flooded pixels are darker in the images from after the flood."""
    root = tmp_path_factory.mktemp("ombria")
    for number in range(1, 81, 10):
        rng = np.random.default_rng(number)
        flood = np.zeros((SIZE, SIZE), bool)
        flood[:, : 10 + number % 20] = True
        for sensor, shape in ((1, (SIZE, SIZE)), (2, (SIZE, SIZE, 3))):
            for date, dark in (("before", False), ("after", True)):
                image = rng.integers(90, 200, shape)
                image[flood] = image[flood] // (4 if dark else 1)
                _write(root, sensor, date, number, image)
            _write(root, sensor, "mask", number, 255 * flood)
    return root


def _write(root: Path, sensor: int, part: str, number: int, image: np.ndarray[Any, Any]) -> None:
    path = root / f"OmbriaS{sensor}" / "train" / part.upper() / f"S{sensor}_{part}_{number:04d}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image.astype(np.uint8)).save(path)


def settings(make_config: Callable[..., TrainConfig], out_dir: Path, root: Path, **changes: Any) -> TrainConfig:
    data = {"layout": "ombria", "data": root, "synthetic_chips": 64, "synthetic_size": 256, "val_split": 0.25}
    return make_config(out_dir, **{**data, **changes})


def test_a_two_date_model_maps_with_both_sensors_and_with_each(
    tree: Path, make_config: Callable[..., TrainConfig], tmp_path: Path
) -> None:
    config = settings(make_config, tmp_path / "run", tree, epochs=5, crops_per_chip=4, drop_sensor=0.67)
    train(config, show_progress=False)
    with Image.open(tmp_path / "run" / "val_epoch_005.png") as picture:
        assert picture.width > 1500  # radar, optical before, optical after, label, probability, errors
    model = load_checkpoint(tmp_path / "run" / "best_model.pth")
    assert (model.spec.bands.sar_unit, model.spec.bands.optical_unit) == ("dn", "dn")
    assert len(model.spec.bands.optical) == 6
    for sensors in (None, "sar", "optical"):
        scores = evaluate(model, config=config.data, sensors=sensors, split="valid")
        assert scores.document["n_pixels"] == 2 * SIZE * SIZE
        assert scores.document["water_iou"] > 0.5
        assert scores.references == {}
    for name in ("otsu", "ndwi"):
        with pytest.raises(
            ConfigError, match=f"classical baseline {name}: needs .*; score {name} on data with the bands and unit"
        ):
            evaluate(name, config=config.data, split="valid")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"cloud": 0.3, "optical_bands": ("B03_before", "B08_before")},
            "`cloud=0.3`: needs an optical image from after the flood, but all optical bands in use are from before it",
        ),
        ({"sar_jitter_db": 0.5}, "`sar_jitter_db=0.5`: needs radar in dB, but the radar images hold digital numbers"),
    ],
)
def test_augmentation_without_effect_is_refused(
    tree: Path, make_config: Callable[..., TrainConfig], tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        train(settings(make_config, tmp_path / "run", tree, **changes), show_progress=False)


def test_a_model_with_other_bands_or_units_is_refused(tree: Path, rule_model: Callable[..., Any]) -> None:
    options = {"data": tree, "layout": "ombria", "split": "valid"}
    with pytest.raises(
        ConfigError, match=r"'rule' takes radar images of VV, VH in dB, but the data set holds VV_before, "
    ):
        evaluate(rule_model(Bands(("VV", "VH"), ())), **options)
    with pytest.raises(
        ConfigError, match=r"takes optical images of B03, B08 in reflectance, but .* in digital numbers; choose"
    ):
        evaluate(rule_model(Bands((), ("B03", "B08"))), **options)
