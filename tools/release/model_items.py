"""STAC items of shipped models, with the machine learning model extension (MLM).

The extension is described at https://github.com/stac-extensions/mlm. An item describes the exported files: bands in
physical units and their validity in, calibrated water probability out.
"""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from safetensors.numpy import load_file

from floodseg.bands import SENSORS, WAVELENGTHS, Sensor
from floodseg.models.checkpoint.description import CONFIG_FILE, WEIGHTS_FILE, read_description
from floodseg.models.checkpoint.zoo import ShippedModel

ITEM_FILE = "item.json"
MLM = "https://stac-extensions.github.io/mlm/v1.5.2/schema.json"
FILE = "https://stac-extensions.github.io/file/v2.1.0/schema.json"
TASKS = ["semantic-segmentation"]

_BEGIN: dict[Sensor, str] = {"sar": "2014-04-03T00:00:00Z", "optical": "2015-06-23T00:00:00Z"}
"""Launches of Sentinel-1A and Sentinel-2A: an item needs dates, and the models are bound to no date after these."""
_END = "9999-12-31T23:59:59Z"
_UNITS = {"db": "dB", "reflectance": "1"}
_SIZE = "Height and width are at least 64 and multiples of 32."
_CODE = {"multi_sensor": "multi_sensor.py"}
"""Source of an architecture below ``floodseg/models``, unless it is in ``networks``."""
_SHA256 = "1220"
"""Prefix of a multihash of SHA-256 with 32 bytes."""


def model_item(folder: Path) -> dict[str, Any]:
    """Return the STAC item of the model in a weights folder.

    Args:
        folder: a folder with ``config.json``, and the parts of a fused model beside it.
    """
    model = ShippedModel(folder, read_description(folder))
    return {
        "type": "Feature",
        "stac_version": "1.1.0",
        "stac_extensions": [MLM, FILE],
        "id": model.name,
        "geometry": None,
        "properties": _properties(model),
        "links": [
            {"rel": "derived_from", "href": f"../{part.name}/{ITEM_FILE}", "type": "application/geo+json"}
            for part in model.parts.values()
        ],
        "assets": {name: _with_bands(model, asset) for name, asset in _assets(model).items()},
    }


def _sensors(model: ShippedModel) -> list[Sensor]:
    return [sensor for sensor in SENSORS if model.description["bands"][sensor]]


def _with_bands(model: ShippedModel, asset: dict[str, Any]) -> dict[str, Any]:
    """Return an asset of the model with the names of its bands: STAC describes bands of an item only for its assets."""
    names = [name for sensor in _sensors(model) for name in model.description["bands"][sensor]]
    return asset | {"bands": [{"name": name} for name in names]} if "mlm:model" in asset["roles"] else asset


def _properties(model: ShippedModel) -> dict[str, Any]:
    description, sensors = model.description, _sensors(model)
    training, source = description["training"], _pretrained_source(model)
    scores = "" if description["scores"] else " It has no score of its own."
    properties = {
        "title": f"floodseg {model.name}",
        "description": f"Water on satellite images. Trained on: {training['data']}.{scores}",
        "license": training["licence"],
        "datetime": None,
        "start_datetime": max(_BEGIN[sensor] for sensor in sensors),
        "end_datetime": _END,
        "bands": [_band(model, sensor, name) for sensor in sensors for name in description["bands"][sensor]],
        "mlm:name": f"floodseg-{model.name}",
        "mlm:architecture": description["architecture"],
        "mlm:tasks": TASKS,
        "mlm:framework": "PyTorch",
        "mlm:total_parameters": description["parameters"],
        "mlm:pretrained": source is not None,
        "mlm:pretrained_source": source,
        "mlm:input": [entry for sensor in sensors for entry in _inputs(model, sensor)],
        "mlm:output": [_output(model)],
        "mlm:hyperparameters": _hyperparameters(model),
    }
    if "versions" in training:
        properties["mlm:framework_version"] = training["versions"]["torch"]
    return properties


def _pretrained_source(model: ShippedModel) -> str | None:
    """Return the origin of the weights with which training began; None for training from scratch."""
    if model.parts:
        return " and ".join(part.name for part in model.parts.values())
    weights = model.description["training"]["encoder_weights"]
    return None if weights == "none" else f"pretrained weights of encoder {model.description['encoder']} ({weights})"


def _band(model: ShippedModel, sensor: Sensor, name: str) -> dict[str, Any]:
    if sensor == "sar":
        text = f"backscatter of Sentinel-1, polarisation {name}"
    else:
        text = f"reflectance of Sentinel-2, band {name} at {WAVELENGTHS[name]:.3f} micrometres"
    return {
        "name": name,
        "description": text,
        "data_type": "float32",
        "unit": _UNITS[model.description["bands"][f"{sensor}_unit"]],
    }


def _inputs(model: ShippedModel, sensor: Sensor) -> Iterator[dict[str, Any]]:
    """Yield the image of a sensor and its validity. The names are those of the inputs of the exported graphs."""
    bands = model.description["bands"][sensor]
    scaling = [{"type": "clip", "minimum": low, "maximum": high} for low, high in _ranges(model, sensor)]
    yield {
        "name": sensor,
        "description": (
            "Physical values. Clipping to the range of the training data, and standardisation, are part of the model, "
            f"so that images need neither before. {_SIZE}"
        ),
        "bands": bands,
        "input": {
            "shape": [-1, len(bands), -1, -1],
            "dim_order": ["batch", "bands", "height", "width"],
            "data_type": "float32",
        },
        "value_scaling": scaling,
        "resize_type": None,
        "pre_processing_function": _reading(sensor),
    }
    yield {
        "name": f"{sensor}_valid",
        "description": "Boolean: true where all bands of the image are valid. Values elsewhere have no effect.",
        "input": {"shape": [-1, -1, -1], "dim_order": ["batch", "height", "width"], "data_type": "other"},
        "value_scaling": None,
        "resize_type": None,
        "pre_processing_function": _reading(f"{sensor}_valid"),
    }


def _ranges(model: ShippedModel, sensor: Sensor) -> list[tuple[float, float]]:
    """Return the lowest and highest value of each band in the training data, to which the model clips."""
    tensors = load_file(model.parts.get(sensor, model.folder) / WEIGHTS_FILE)
    _, _, low, high = tensors[f"normalise_{sensor}.table"].tolist()
    return list(zip(low, high, strict=True))


def _reading(function: str) -> dict[str, str]:
    return {
        "format": "python",
        "expression": f"floodseg.raster.chip_inputs:{function}",
        "description": "takes the path of a GeoTIFF and returns this input as an array with a batch of one",
    }


def _output(model: ShippedModel) -> dict[str, Any]:
    return {
        "name": "probability",
        "description": (
            "Calibrated probability of water, undefined where no image is valid. A pixel is water where it reaches the "
            "threshold in mlm:hyperparameters."
        ),
        "tasks": TASKS,
        "result": {"shape": [-1, -1, -1], "dim_order": ["batch", "height", "width"], "data_type": "float32"},
        "classification:classes": [
            {"value": 0, "name": "land", "description": "no water"},
            {"value": 1, "name": "water", "description": "open water, flooded or permanent"},
        ],
        "post_processing_function": None,
    }


def _hyperparameters(model: ShippedModel) -> dict[str, Any]:
    """Return the threshold for each set of valid sensors of the model, and the temperature of its logits."""
    decisions = model.description["decisions"]
    if model.parts:
        thresholds = {f"threshold_{name}": decision["threshold"] for name, decision in decisions.items()}
        return {**thresholds, **model.description["fusion"]}
    (sensor,) = _sensors(model)
    return {**decisions[sensor], "context_prior": model.description["context_prior"]}


def _assets(model: ShippedModel) -> dict[str, Any]:
    assets = {
        "config": _asset(model.folder, CONFIG_FILE, "application/json", ["metadata"]),
        "card": _asset(model.folder, "CARD.md", "text/markdown", ["metadata"]),
        "source_code": _source_code(model.description["architecture"]),
    }
    if not model.parts:
        return _model_files(model.folder) | assets
    # a fused model has no weights of its own, and the files of its parts take one image each
    assets["config"] |= {"roles": ["mlm:model", "metadata"], "mlm:artifact_type": "floodseg.load_model"}
    parts = {
        f"{sensor}_{key}": asset | {"href": f"../{part.name}/{Path(asset['href']).name}", "roles": ["mlm:weights"]}
        for sensor, part in model.parts.items()
        for key, asset in _model_files(part).items()
    }
    for asset in parts.values():
        asset.pop("mlm:artifact_type", None)
    return assets | parts


def _model_files(folder: Path) -> dict[str, Any]:
    """Return the assets of the weights and of the exported graphs in a folder."""
    weights = _asset(folder, WEIGHTS_FILE, "application/octet-stream; framework=pytorch", ["mlm:model", "mlm:weights"])
    weights["title"] = "Weights for PyTorch"
    weights["description"] = (
        "floodseg.from_pretrained loads them. The model returns logits of land and water; the probability is the "
        "sigmoid of their difference divided by the temperature."
    )
    assets = {"weights": weights | {"mlm:artifact_type": "safetensors.torch.save_file"}}
    for file in sorted(folder.glob("onnx-*.onnx")):
        graph = _asset(folder, file.name, "application/octet-stream; framework=onnx", ["mlm:model"])
        kind = {"mlm:artifact_type": "onnx.save", "mlm:framework": "ONNX"}
        assets[file.stem] = graph | {"title": f"ONNX graph, {file.stem.partition('-')[2]}"} | kind
    for file in sorted(folder.glob("openvino-*.xml")):
        graph = _asset(folder, file.name, "application/xml", ["mlm:model"])
        kind = {"mlm:artifact_type": "openvino.save_model", "mlm:framework": "OpenVINO"}
        assets[file.stem] = graph | {"title": f"OpenVINO graph, {file.stem.partition('-')[2]}"} | kind
        data = _asset(folder, f"{file.stem}.bin", "application/octet-stream", ["mlm:weights"])
        assets[f"{file.stem}-weights"] = data | {"title": f"Weights of {file.name}"}
    return assets


def _asset(folder: Path, name: str, media_type: str, roles: list[str]) -> dict[str, Any]:
    content = (folder / name).read_bytes()
    return {
        "href": f"./{name}",
        "type": media_type,
        "roles": roles,
        "file:size": len(content),
        "file:checksum": _SHA256 + hashlib.sha256(content).hexdigest(),
    }


def _source_code(architecture: str) -> dict[str, Any]:
    return {
        "href": f"../../{_CODE.get(architecture, f'networks/{architecture}.py')}",
        "title": "Network in PyTorch",
        "type": "text/x-python",
        "roles": ["mlm:source_code", "code"],
        "mlm:entrypoint": "floodseg:predict_scene",
    }
