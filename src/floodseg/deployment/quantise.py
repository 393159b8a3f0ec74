"""Static quantisation to int8, calibrated on real chips: ONNX Runtime's own tool, and NNCF for OpenVINO."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from floodseg.deployment.nodes import pattern
from floodseg.deployment.samples import Batch


def quantised_openvino(graph: Path, batches: Sequence[Batch], kept: Sequence[str]) -> Any:
    """Return an ``openvino.Model`` quantised by NNCF.

    Args:
        graph: the ONNX graph.
        batches: what activations are measured on.
        kept: names of nodes of the graph that stay as they are.
    """
    import nncf
    import openvino

    model = openvino.Core().read_model(graph)
    names = {port.get_any_name() for port in model.inputs}
    nncf.set_log_level(40)  # warnings name single operations
    return nncf.quantize(
        model,
        nncf.Dataset(batches, lambda batch: feeds(batch, names)),
        # activations from 0 (after ReLU) use all 256 steps
        preset=nncf.QuantizationPreset.MIXED,
        subset_size=len(batches),
        # a node of the graph becomes several operations, whose names begin with its own
        ignored_scope=nncf.IgnoredScope(patterns=[pattern(name) for name in kept], validate=False),
        target_device=nncf.TargetDevice.CPU,
    )


def quantised_onnx(graph: Path, batches: Sequence[Batch], kept: Sequence[str]) -> Any:
    """Return an ``onnx.ModelProto`` quantised by ONNX Runtime, as :func:`quantised_openvino` does it."""
    import onnx
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    names = {port.name for port in onnx.load(graph).graph.input}

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self._left: Iterator[Batch] = iter(batches)

        def get_next(self) -> dict[str, np.ndarray[Any, Any]] | None:
            batch = next(self._left, None)
            return None if batch is None else feeds(batch, names)

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
        nodes_to_exclude=list(kept),
    )
    return onnx.load(written)


def feeds(batch: Batch, names: set[str]) -> dict[str, np.ndarray[Any, Any]]:
    """Return what a graph with inputs ``names`` takes of a batch."""
    given = {
        "sar": batch.sar, "optical": batch.optical, "sar_valid": batch.sar_valid, "optical_valid": batch.optical_valid,
    }  # fmt: skip
    return {name: given[name] for name in names}
