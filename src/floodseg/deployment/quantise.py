"""Static quantisation to int8, calibrated on real chips: ONNX Runtime's own tool, and NNCF for OpenVINO."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from floodseg.deployment.formats import node_pattern
from floodseg.deployment.samples import Batch
from floodseg.models.checkpoint.formats import ExportFormat
from floodseg.models.layers.attention import EfficientSelfAttention
from floodseg.models.networks.baseline import FullSelfAttention
from floodseg.models.networks.lite import MaskedStem
from floodseg.models.networks.sensor_weights import SensorGate


def quantised(graph: Path, module: nn.Module, batches: Sequence[Batch], format: ExportFormat) -> Any:
    """Return a graph in int8 as ``onnx.ModelProto`` or ``openvino.Model``.

    Args:
        graph: the ONNX graph.
        module: the module that it was traced from.
        batches: images on which the ranges of activations are measured.
        format: the format that it is to be written in.
    """
    import onnx

    names = {port.name for port in onnx.load(graph).graph.input}
    feeds = [_feeds(batch, names) for batch in batches]
    quantise = _quantised_onnx if format == "onnx" else _quantised_openvino
    return quantise(graph, feeds, unquantised(graph, module))


def unquantised(graph: Path, module: nn.Module) -> list[str]:
    """Return the nodes that stay in floating point.

    These are all outside of the networks, attention, the sensor gate, and a masked stem apart from its convolutions:
    one over the share of valid pixels has a range that a single chip with a swath edge stretches without limit.
    Normalisation, the fusion of several networks, the context prior and temperatures are arithmetic on few channels
    that must be exact; attention multiplies and exponentiates its inputs, and costs little.
    """
    import onnx

    prefixes: list[str] = []
    for name, each in module.named_modules():
        if isinstance(each, EfficientSelfAttention | FullSelfAttention | SensorGate):
            prefixes += [f"{name}/", f"{name}."]
        elif isinstance(each, MaskedStem):
            prefixes.append(f"{name}/")
    names = [node.name for node in onnx.load(graph).graph.node]
    return [
        name for name in names if "network" not in name.partition("/")[0].split(".") or name.startswith(tuple(prefixes))
    ]


def _quantised_openvino(graph: Path, feeds: Sequence[dict[str, Any]], floating: Sequence[str]) -> Any:
    import nncf
    import openvino

    nncf.set_log_level(40)  # warnings name single operations
    return nncf.quantize(
        openvino.Core().read_model(graph),
        nncf.Dataset(feeds),
        # activations from 0 (after ReLU) use all 256 steps
        preset=nncf.QuantizationPreset.MIXED,
        subset_size=len(feeds),
        ignored_scope=nncf.IgnoredScope(patterns=[node_pattern(name) for name in floating], validate=False),
        target_device=nncf.TargetDevice.CPU,
    )


def _quantised_onnx(graph: Path, feeds: Sequence[dict[str, Any]], floating: Sequence[str]) -> Any:
    import onnx
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self._left: Iterator[dict[str, Any]] = iter(feeds)

        def get_next(self) -> dict[str, Any] | None:
            return next(self._left, None)

    written = graph.with_name("quantised.onnx")
    quantize_static(
        graph,
        written,
        Reader(),
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        op_types_to_quantize=["Conv", "Add", "Relu", "Resize"],
        nodes_to_exclude=list(floating),
        # ranges are the mean over the chips, as NNCF takes them: one bright chip would coarsen the steps for all
        extra_options={"CalibMovingAverage": True},
    )
    return onnx.load(written)


def _feeds(batch: Batch, names: set[str]) -> dict[str, np.ndarray[Any, Any]]:
    """Return the inputs of a graph by name."""
    arrays = {
        "sar": batch.sar, "optical": batch.optical, "sar_valid": batch.sar_valid, "optical_valid": batch.optical_valid,
    }  # fmt: skip
    return {name: arrays[name] for name in names}
