"""Rows of the runtimes beside PyTorch: files exported beforehand, called with the same images on as many threads.

What calls them imports no PyTorch, so that memory is what a user of the file needs.
"""

import time
from collections.abc import Callable, Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from floodseg.benchmarking.rows import Row
from floodseg.models.checkpoint.formats import SUFFIXES, ExportFormat, ExportPrecision
from floodseg.runtimes.metadata import ExportMetadata

if TYPE_CHECKING:
    from floodseg.models.deploy import DeployedModel

_CALIBRATION = 4
"""Images on which activations are measured for int8: enough for speed, which does not depend on their ranges."""
_IMAGES = "images.npz"

Feeds = dict[str, NDArray[np.generic]]


def file_mb(row: Row, folder: Path) -> float:
    """Return the size of an exported row's file, with its weights where those lie beside it."""
    path = _file(row, folder)
    return sum(part.stat().st_size for part in (path, path.with_suffix(".bin")) if part.is_file()) / 1e6


def write_images(folder: Path, batch_size: int, size: int) -> None:
    """Write the images that exported rows are given."""
    np.savez(folder / _IMAGES, allow_pickle=False, **_simulated(batch_size, size))


def group_by_network(rows: Sequence[Row]) -> list[list[Row]]:
    """Return the exported rows in groups that share one network."""

    def network(row: Row) -> tuple[str, str]:
        return row.model, row.encoder or ""

    exported = sorted((row for row in rows if row.runtime != "torch"), key=network)
    return [list(group) for _, group in groupby(exported, key=network)]


def export_rows(rows: Sequence[Row], folder: Path, size: int) -> None:
    """Write the files of rows that share a network, as ``floodseg export`` does, without its parity checks.

    The networks are untrained, so that there is nothing to be lost by a lower precision; int8 is calibrated on images
    of the benchmark.
    """
    from floodseg.benchmarking.torch_rows import new_model
    from floodseg.deployment.formats import read_graph, write_onnx, write_openvino
    from floodseg.deployment.graph import write_graph
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
    """Return a function that maps the images by the runtime of a row, and returns the seconds that took."""
    call = (_openvino if row.runtime == "openvino" else _onnx)(row, _file(row, folder), _images(folder), threads)

    def timed() -> float:
        began = time.perf_counter()
        call()
        return time.perf_counter() - began

    return timed


def _file(row: Row, folder: Path) -> Path:
    return folder / f"{row.label.replace('/', '-')}{SUFFIXES[cast(ExportFormat, row.runtime)]}"


def _openvino(row: Row, path: Path, images: Feeds, threads: int) -> Callable[[], Any]:
    import openvino

    from floodseg.runtimes.openvino_runtime import HINTS

    core = openvino.Core()
    model = core.read_model(path)
    given = _feeds(images, _inputs(model))
    model.reshape({name: list(value.shape) for name, value in given.items()})
    compiled = core.compile_model(
        model,
        "CPU",
        {
            "INFERENCE_PRECISION_HINT": HINTS[cast(ExportPrecision, row.precision)],
            # one stream over all threads: what counts is how soon one batch is done
            "NUM_STREAMS": 1,
            "INFERENCE_NUM_THREADS": threads,
            "ENABLE_CPU_PINNING": False,
        },
    )
    request = compiled.create_infer_request()
    return lambda: request.infer(given, share_inputs=True)


def _onnx(row: Row, path: Path, images: Feeds, threads: int) -> Callable[[], Any]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    given = _feeds(images, {port.name for port in session.get_inputs()})
    return lambda: session.run(None, given)


def _images(folder: Path) -> Feeds:
    with np.load(folder / _IMAGES, allow_pickle=False) as stored:
        return dict(stored)


def _inputs(model: Any) -> set[str]:
    """Return the names of what an OpenVINO model takes."""
    return {port.get_any_name() for port in model.inputs}


def _feeds(images: Feeds, names: set[str]) -> Feeds:
    return {name: images[name] for name in names}


def _quantised(row: Row, graph: Path, deployed: "DeployedModel", size: int) -> Any:
    from floodseg.deployment.quantise import quantised
    from floodseg.deployment.samples import Batch

    images = _simulated(_CALIBRATION, size)
    batches = [Batch(**{name: array[[index]] for name, array in images.items()}) for index in range(_CALIBRATION)]
    return quantised(graph, deployed, batches, cast(ExportFormat, row.runtime))


def _simulated(count: int, size: int) -> dict[str, Any]:
    """Return the images of the benchmark as an exported file takes them: validity without an axis of channels."""
    from floodseg.benchmarking.torch_rows import simulated_batch

    images = {name: tensor.cpu().numpy() for name, tensor in simulated_batch(count, size).items()}
    valid = {name: np.ascontiguousarray(images[name][:, 0]) for name in ("sar_valid", "optical_valid")}
    return {"sar": images["sar"], "optical": images["optical"], **valid}
