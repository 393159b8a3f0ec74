"""Files of both formats from one ONNX graph, with metadata and checksum inside."""

import errno
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from floodseg.models.checkpoint.formats import ExportFormat
from floodseg.runtimes.checksum import append_checksum
from floodseg.runtimes.metadata import KEY, ExportMetadata

_NOT_COMPUTED = ("Const", "Parameter", "Result")


def read_graph(graph: Path, format: ExportFormat) -> Any:
    """Return an ONNX graph as ``onnx.ModelProto`` or ``openvino.Model``, by the format that it is to be written in."""
    if format == "onnx":
        import onnx

        return onnx.load(graph)
    import openvino

    return openvino.Core().read_model(graph)


def write_onnx(model: Any, metadata: ExportMetadata, path: Path) -> None:
    """Write an ``onnx.ModelProto`` as one file, weights inside."""
    import onnx

    del model.metadata_props[:]
    onnx.helper.set_model_props(model, {KEY: metadata.to_text()})
    onnx.save(model, path)
    append_checksum(path)


def write_openvino(model: Any, metadata: ExportMetadata, path: Path, fp32_nodes: Sequence[str] = ()) -> None:
    """Write an ``openvino.Model`` as ``path`` (``.xml``) and its weights beside it, those of bf16 models in 16 bits.

    Args:
        model: the model.
        metadata: its description.
        path: the ``.xml``.
        fp32_nodes: names of nodes of the ONNX graph that compute in fp32 where the rest computes in bf16.

    Raises:
        OSError: the files cannot be written completely.
    """
    import openvino

    model.set_rt_info(metadata.to_text(), [KEY])
    failure: RuntimeError | None = None
    try:
        openvino.save_model(model, path, compress_to_fp16=metadata.precision == "bf16")
    except RuntimeError as error:
        failure = error
    # a disk that fills up in the middle of a file is not always an error to OpenVINO
    tree = _complete_tree(path)
    if tree is None:
        raise OSError(errno.EIO, "the disk is full, or fails", str(path)) from failure
    if failure:
        raise failure
    if fp32_nodes:
        _mark_precise(tree, fp32_nodes)
        tree.write(path, encoding="utf-8", xml_declaration=True)
    append_checksum(path)


def node_pattern(name: str) -> str:
    """Return a pattern for the operations that OpenVINO makes of a node: their names begin with its name."""
    return f"{re.escape(name)}(/.*)?$"


def _complete_tree(path: Path) -> Any:
    """Return the tree of an OpenVINO model; None where a part of it, or of the weights that it names, is missing."""
    try:
        tree = ElementTree.parse(path)
        size = path.with_suffix(".bin").stat().st_size
    except (ElementTree.ParseError, FileNotFoundError):
        return None
    ends = [int(data.get("offset", 0)) + int(data.get("size", 0)) for data in tree.iterfind("layers/layer/data")]
    return tree if max(ends, default=0) <= size else None


def _mark_precise(tree: Any, nodes: Sequence[str]) -> None:
    """Mark operations with the attribute by which OpenVINO keeps its own fragile ones out of lower precision."""
    pattern = re.compile("|".join(map(node_pattern, nodes)))
    for layer in tree.iterfind("layers/layer"):
        if layer.get("type") in _NOT_COMPUTED or not pattern.match(layer.get("name", "")):
            continue
        notes = layer.find("rt_info")
        if notes is None:
            notes = ElementTree.SubElement(layer, "rt_info")
        ElementTree.SubElement(notes, "attribute", name="precise", version="0")
