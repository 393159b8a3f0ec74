"""STAC items of the shipped models: valid, up to date, and with pre-processing that gives the model's input."""

import hashlib
import json
import shutil
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pystac
import pytest
from jsonschema import ValidationError
from numpy.typing import NDArray
from openvino import Core

import floodseg
from document_blocks import ROOT
from floodseg.chips.loader import make_loader
from floodseg.config.data import DataConfig
from floodseg.datasets.layouts import open_layout
from floodseg.models.checkpoint.zoo import WEIGHTS, shipped_models
from floodseg.models.multi_sensor import model_for, plain_models
from scenes import optical_values, sar_values, write_label, write_optical, write_sar
from stac_schema import check_item

NAMES = [model.name for model in shipped_models()]
SIDE = 96


def item_of(name: str) -> dict[str, Any]:
    item: dict[str, Any] = json.loads((WEIGHTS / name / "item.json").read_text())
    return item


@pytest.mark.parametrize("name", NAMES)
def test_item_is_valid(name: str) -> None:
    item = item_of(name)
    check_item(item)
    assert item["stac_extensions"] == [
        "https://stac-extensions.github.io/mlm/v1.5.2/schema.json",
        "https://stac-extensions.github.io/file/v2.1.0/schema.json",
    ]
    assert pystac.Item.from_dict(item).id == name
    assert item["properties"]["mlm:name"] == f"floodseg-{name}"


@pytest.mark.parametrize("lacking", ["mlm:input", "mlm:name", "start_datetime"])
def test_item_without_a_property_is_not_valid(lacking: str) -> None:
    item = item_of("s1-lite")
    del item["properties"][lacking]
    with pytest.raises(ValidationError):
        check_item(item)


def test_command_remakes_cards_and_items_of_all_models(tmp_path: Path) -> None:
    weights = tmp_path / "weights"
    shutil.copytree(WEIGHTS, weights)
    for name in NAMES:
        (weights / name / "item.json").unlink()
    tool = ROOT / "tools/release/describe_models.py"
    subprocess.run([sys.executable, str(tool), "--weights", str(weights)], capture_output=True, check=True)
    for file in sorted(WEIGHTS.rglob("*")):
        if file.is_file():
            assert file.read_bytes() == (weights / file.relative_to(WEIGHTS)).read_bytes(), file


@pytest.mark.parametrize("name", NAMES)
def test_assets_are_the_files_of_the_model(name: str) -> None:
    assets = item_of(name)["assets"]
    for key, asset in assets.items():
        file = WEIGHTS / name / asset["href"]
        assert file.is_file(), key
        if key != "source_code":
            content = file.read_bytes()
            assert asset["file:size"] == len(content)
            assert asset["file:checksum"] == f"1220{hashlib.sha256(content).hexdigest()}"
    kinds = {asset["mlm:artifact_type"] for asset in assets.values() if "mlm:model" in asset["roles"]}
    expected = {"safetensors.torch.save_file", "onnx.save", "openvino.save_model"}
    assert kinds == ({"floodseg.load_model"} if name == "s1s2" else expected)


@pytest.mark.parametrize("name", NAMES)
def test_value_scaling_is_the_clipping_of_the_model(name: str) -> None:
    model, inputs = floodseg.load_model(name), {each["name"]: each for each in item_of(name)["properties"]["mlm:input"]}
    for sensor in model.spec.bands.sensors:
        part = model_for(model, sensor)
        statistics = getattr(part, f"normalise_{sensor}").statistics()
        assert inputs[sensor]["bands"] == list(part.spec.bands.names(sensor))
        assert inputs[sensor]["value_scaling"] == [
            {"type": "clip", "minimum": band.low, "maximum": band.high} for band in statistics
        ]
    assert sum(p.numel() for p in model.parameters()) == item_of(name)["properties"]["mlm:total_parameters"]
    assert len(plain_models(model)) == (2 if name == "s1s2" else 1)


@pytest.fixture(scope="module")
def chips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Raw chips of both sensors with nodata, in the folders of Sen1Floods11."""
    folder = tmp_path_factory.mktemp("chips")
    for event in ("Here", "There"):
        radar = sar_values(SIDE, SIDE)
        radar[:, :, :9] = np.nan
        image = optical_values(SIDE, SIDE)
        image[:, 70:] = 0
        write_sar(folder / f"S1Hand/{event}_1_S1Hand.tif", radar)
        write_optical(folder / f"S2Hand/{event}_1_S2Hand.tif", image)
        write_label(folder / f"LabelHand/{event}_1_LabelHand.tif", np.zeros((SIDE, SIDE), "i2"))
    return folder


def preprocessed(name: str, chips: Path) -> dict[str, NDArray[Any]]:
    """Return the inputs of a model as the pre-processing functions of its item give them."""
    found = {}
    for entry in item_of(name)["properties"]["mlm:input"]:
        assert entry["pre_processing_function"]["format"] == "python"
        module, _, function = entry["pre_processing_function"]["expression"].partition(":")
        file = "S1Hand/Here_1_S1Hand.tif" if entry["name"].startswith("sar") else "S2Hand/Here_1_S2Hand.tif"
        array = getattr(import_module(module), function)(chips / file)
        assert array.ndim == len(entry["input"]["shape"]) == len(entry["input"]["dim_order"])
        assert all(size in (-1, found) for size, found in zip(entry["input"]["shape"], array.shape, strict=True))
        found[entry["name"]] = array
    return found


@pytest.mark.parametrize("name", NAMES)
def test_preprocessing_gives_the_input_of_the_model(name: str, chips: Path) -> None:
    bands = floodseg.load_model(name).spec.bands
    config = DataConfig(data=chips, layout="folders", sensors=bands.sensor_set, optical_bands=bands.optical or None)
    batch = next(iter(make_loader(open_layout(config, "all"), augment=None)))
    found = preprocessed(name, chips)
    for key, array in found.items():
        expected = batch[key].numpy()
        np.testing.assert_array_equal(array, expected[:, 0] if key.endswith("_valid") else expected)
        assert array.dtype == expected.dtype
    assert {key for key in found if not key.endswith("_valid")} == set(bands.sensors)
    assert all(0 < array.mean() < 1 for key, array in found.items() if key.endswith("_valid"))


@pytest.mark.parametrize("name", ["s1-lite", "s2"])
def test_graph_of_the_item_runs_on_the_preprocessed_chip(name: str, chips: Path) -> None:
    asset = item_of(name)["assets"]["onnx-fp32"]
    graph = Core().compile_model(WEIGHTS / name / asset["href"], "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    inputs = preprocessed(name, chips)
    assert {port.any_name for port in graph.inputs} == set(inputs)
    [output] = item_of(name)["properties"]["mlm:output"]
    assert graph.output(0).any_name == output["name"]
    probability = graph(inputs)[0]
    assert probability.shape == (1, SIDE, SIDE)
    assert 0 <= probability.min() < probability.max() <= 1
