"""Static quantisation to int8, with ONNX Runtime's tool for ONNX and NNCF for OpenVINO."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from floodseg.deployment.samples import Batch
from floodseg.deployment.writers import node_pattern
from floodseg.models.checkpoint.formats import ExportFormat
from floodseg.models.layers.attention import EfficientSelfAttention
from floodseg.models.networks.baseline import FullSelfAttention
from floodseg.models.networks.lite import MaskedStem
from floodseg.models.networks.sensor_gate import SensorGate
from floodseg.models.networks.spectral import SpectralNet


def quantise(graph: Path, module: nn.Module, batches: Sequence[Batch], format: ExportFormat) -> Any:
    """Quantise a graph to int8, as ``onnx.ModelProto`` or ``openvino.Model``.

    Args:
        graph: the ONNX graph.
        module: the module from which the graph was traced.
        batches: images for calibration; they set the ranges of the activations.
        format: the output format.
    """
    import onnx

    names = {port.name for port in onnx.load(graph).graph.input}
    feeds = [_feeds(batch, names) for batch in batches]
    quantiser = _quantise_onnx if format == "onnx" else _quantise_openvino
    return quantiser(graph, feeds, unquantised_nodes(graph, module))


def unquantised_nodes(graph: Path, module: nn.Module) -> list[str]:
    """Return the names of the nodes that stay in floating point.

    * Nodes outside of the networks: normalisation, the fusion of several networks, the context prior and temperatures.
      They compute on few channels and must be exact.
    * Attention: it multiplies and exponentiates its inputs, and takes little time.
    * The sensor gate.
    * The masked stem except its convolutions: it divides by the share of valid pixels, so one chip with a swath edge
      would extend the activation range without limit.
    * ``spectral`` except the convolutions of its context and head: its first layers see water indices, which are ratios
      of small numbers, and its last sum is the log-odds.
    """
    import onnx

    prefixes: list[str] = []
    for name, submodule in module.named_modules():
        if isinstance(submodule, EfficientSelfAttention | FullSelfAttention | SensorGate):
            prefixes += [f"{name}/", f"{name}."]
        elif isinstance(submodule, MaskedStem):
            prefixes.append(f"{name}/")
        elif isinstance(submodule, SpectralNet):
            prefixes += [f"{name}/", f"{name}.indices", f"{name}.pixelwise"]
    names = [node.name for node in onnx.load(graph).graph.node]
    return [
        name for name in names if "network" not in name.partition("/")[0].split(".") or name.startswith(tuple(prefixes))
    ]


def _quantise_openvino(graph: Path, feeds: Sequence[dict[str, Any]], unquantised: Sequence[str]) -> Any:
    import nncf

    from floodseg.runtimes.openvino_core import CORE

    nncf.set_log_level(40)  # errors only: it warns about single operations
    return nncf.quantize(
        CORE.read_model(graph),
        nncf.Dataset(feeds),
        # asymmetric activations: those after ReLU use all 256 steps
        preset=nncf.QuantizationPreset.MIXED,
        subset_size=len(feeds),
        ignored_scope=nncf.IgnoredScope(patterns=[node_pattern(name) for name in unquantised], validate=False),
        target_device=nncf.TargetDevice.CPU,
    )


def _quantise_onnx(graph: Path, feeds: Sequence[dict[str, Any]], unquantised: Sequence[str]) -> Any:
    import onnx
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self._feeds: Iterator[dict[str, Any]] = iter(feeds)

        def get_next(self) -> dict[str, Any] | None:
            return next(self._feeds, None)

    quantised = graph.with_name("quantised.onnx")
    quantize_static(
        graph,
        quantised,
        Reader(),
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        op_types_to_quantize=["Conv", "Add", "Relu", "Resize"],
        nodes_to_exclude=list(unquantised),
        # mean ranges over the chips, as in NNCF: with the extremes, one bright chip would coarsen all steps
        extra_options={"CalibMovingAverage": True},
    )
    return onnx.load(quantised)


def _feeds(batch: Batch, names: set[str]) -> dict[str, np.ndarray[Any, Any]]:
    """Return the inputs of a graph by name."""
    arrays = {
        "sar": batch.sar, "optical": batch.optical, "sar_valid": batch.sar_valid, "optical_valid": batch.optical_valid,
    }  # fmt: skip
    return {name: arrays[name] for name in names}
