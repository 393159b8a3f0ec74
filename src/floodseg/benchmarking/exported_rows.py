"""Timed inference of the exported models (ONNX Runtime and OpenVINO), with the same images and threads as PyTorch.

Timing does not import PyTorch, so that the measured memory is that of a user of the exported file.
"""

import time
from collections.abc import Callable, Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from floodseg.benchmarking.rows import Row
from floodseg.models.checkpoint.formats import SUFFIXES, ExportFormat, ExportPrecision, exported_mb
from floodseg.runtimes.metadata import ExportMetadata

if TYPE_CHECKING:
    from floodseg.models.deploy import DeployedModel

_CALIBRATION_IMAGES = 4
"""Images for int8 calibration. A few are enough, since speed does not depend on the activation ranges."""
_IMAGES_FILE = "images.npz"

Images = dict[str, NDArray[np.generic]]
"""Input arrays of an exported model by input name."""


def file_mb(row: Row, folder: Path) -> float:
    """Return the size in MB of the exported file of a row, including a separate file of weights."""
    return exported_mb(_file(row, folder))


def write_images(folder: Path, batch_size: int, size: int) -> None:
    """Write the input images of the exported rows."""
    np.savez(folder / _IMAGES_FILE, allow_pickle=False, **_simulated_inputs(batch_size, size))


def group_by_network(rows: Sequence[Row]) -> list[list[Row]]:
    """Return the exported rows in groups of the same network."""

    def network(row: Row) -> tuple[str, str]:
        return row.model, row.encoder or ""

    exported = sorted((row for row in rows if row.runtime != "torch"), key=network)
    return [list(group) for _, group in groupby(exported, key=network)]


def export_rows(rows: Sequence[Row], folder: Path, size: int) -> None:
    """Export one network in the formats and precisions of some rows, without the parity checks of ``floodseg export``.

    The weights are random, so there is no accuracy to check. int8 is calibrated on images of the benchmark.
    """
    from floodseg.benchmarking.torch_rows import new_model
    from floodseg.deployment.graph import write_graph
    from floodseg.deployment.writers import read_graph, write_onnx, write_openvino
    from floodseg.models.checkpoint.checkpoint import describe
    from floodseg.models.deploy import DeployedModel

    model = new_model(rows[0]).cpu().eval()
    deployed = DeployedModel(model)
    graph = folder / "graph.onnx"
    multiple = write_graph(deployed, model.spec.bands, graph)
    for row in rows:
        precision, format = cast(ExportPrecision, row.precision), cast(ExportFormat, row.runtime)
        metadata = ExportMetadata(describe(model), precision, (0.5, 0.5, 0.5, 0.5), overlap=0, multiple=multiple)
        exported = _quantised(row, graph, deployed, size) if precision == "int8" else read_graph(graph, format)
        (write_onnx if format == "onnx" else write_openvino)(exported, metadata, _file(row, folder))


def inference(row: Row, folder: Path, threads: int) -> Callable[[], float]:
    """Return a function that runs a row once on the images, and returns the duration in seconds."""
    load = _load_openvino if row.runtime == "openvino" else _load_onnx
    with np.load(folder / _IMAGES_FILE, allow_pickle=False) as images:
        call = load(row, _file(row, folder), dict(images), threads)

    def timed() -> float:
        start = time.perf_counter()
        call()
        return time.perf_counter() - start

    return timed


def _file(row: Row, folder: Path) -> Path:
    return folder / f"{row.label.replace('/', '-')}{SUFFIXES[cast(ExportFormat, row.runtime)]}"


def _load_openvino(row: Row, path: Path, images: Images, threads: int) -> Callable[[], Any]:
    from floodseg.runtimes.openvino_core import CORE
    from floodseg.runtimes.openvino_runtime import PRECISION_HINTS

    model = CORE.read_model(path)
    inputs = {name: images[name] for name in (port.get_any_name() for port in model.inputs)}
    model.reshape({name: list(value.shape) for name, value in inputs.items()})
    compiled = CORE.compile_model(
        model,
        "CPU",
        {
            "INFERENCE_PRECISION_HINT": PRECISION_HINTS[cast(ExportPrecision, row.precision)],
            # one stream over all threads: the latency of one batch is measured
            "NUM_STREAMS": 1,
            "INFERENCE_NUM_THREADS": threads,
            "ENABLE_CPU_PINNING": False,
        },
    )
    request = compiled.create_infer_request()
    return lambda: request.infer(inputs, share_inputs=True)


def _load_onnx(_: Row, path: Path, images: Images, threads: int) -> Callable[[], Any]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    inputs = {port.name: images[port.name] for port in session.get_inputs()}
    return lambda: session.run(None, inputs)


def _quantised(row: Row, graph: Path, deployed: "DeployedModel", size: int) -> Any:
    from floodseg.deployment.quantise import quantise
    from floodseg.deployment.samples import Batch

    images = _simulated_inputs(_CALIBRATION_IMAGES, size)
    batches = [
        Batch(**{name: array[[index]] for name, array in images.items()}) for index in range(_CALIBRATION_IMAGES)
    ]
    return quantise(graph, deployed, batches, cast(ExportFormat, row.runtime))


def _simulated_inputs(count: int, size: int) -> dict[str, Any]:
    """Return simulated inputs of an exported model: images (N, C, H, W) and validity masks (N, H, W)."""
    from floodseg.benchmarking.torch_rows import simulated_batch

    images = {name: tensor.cpu().numpy() for name, tensor in simulated_batch(count, size).items()}
    valid = {name: np.ascontiguousarray(images[name][:, 0]) for name in ("sar_valid", "optical_valid")}
    return {"sar": images["sar"], "optical": images["optical"], **valid}
