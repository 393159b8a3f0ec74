"""Writers of ONNX and OpenVINO files, with metadata and a checksum inside."""

import errno
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from floodseg.models.checkpoint.formats import ExportFormat
from floodseg.runtimes.checksum import append_checksum
from floodseg.runtimes.metadata import KEY, ExportMetadata

_PASSIVE_LAYERS = ("Const", "Parameter", "Result")
"""Types of OpenVINO layers that compute nothing."""


def read_graph(graph: Path, format: ExportFormat) -> Any:
    """Read an ONNX graph as ``onnx.ModelProto`` or ``openvino.Model``, depending on the output format."""
    if format == "onnx":
        import onnx

        return onnx.load(graph)
    from floodseg.runtimes.openvino_core import CORE

    return CORE.read_model(graph)


def write_onnx(model: Any, metadata: ExportMetadata, path: Path) -> None:
    """Write an ``onnx.ModelProto`` as one file that includes the weights."""
    import onnx

    del model.metadata_props[:]
    onnx.helper.set_model_props(model, {KEY: metadata.to_text()})
    onnx.save(model, path)
    append_checksum(path)


def write_openvino(model: Any, metadata: ExportMetadata, path: Path, fp32_nodes: Sequence[str] = ()) -> None:
    """Write an ``openvino.Model`` as ``path`` (``.xml``) and its weights as the ``.bin`` beside it.

    The weights of a bf16 model are stored in 16 bits.

    Args:
        model: the model.
        metadata: metadata to store in the ``.xml``.
        path: the ``.xml``.
        fp32_nodes: names of the ONNX nodes that compute in fp32 in a bf16 model.

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
    # OpenVINO does not always raise if the disk fills up
    tree = _parse_if_complete(path)
    if tree is None:
        raise OSError(errno.EIO, "the disk is full or has failed", str(path)) from failure
    if failure:
        raise failure
    if fp32_nodes:
        _mark_fp32(tree, fp32_nodes)
        tree.write(path, encoding="utf-8", xml_declaration=True)
    append_checksum(path)


def node_pattern(name: str) -> str:
    """Return a pattern for the names of the operations that OpenVINO creates from a node: they begin with its name."""
    return f"{re.escape(name)}(/.*)?$"


def _parse_if_complete(path: Path) -> Any:
    """Return the element tree of an OpenVINO model, or None if the ``.xml`` or the ``.bin`` is incomplete."""
    try:
        tree = ElementTree.parse(path)
        size = path.with_suffix(".bin").stat().st_size
    except (ElementTree.ParseError, FileNotFoundError):
        return None
    ends = [int(data.get("offset", 0)) + int(data.get("size", 0)) for data in tree.iterfind("layers/layer/data")]
    return tree if max(ends, default=0) <= size else None


def _mark_fp32(tree: Any, nodes: Sequence[str]) -> None:
    """Add the attribute ``precise`` to the operations of ``nodes``; OpenVINO computes such operations in fp32."""
    pattern = re.compile("|".join(map(node_pattern, nodes)))
    for layer in tree.iterfind("layers/layer"):
        if layer.get("type") in _PASSIVE_LAYERS or not pattern.match(layer.get("name", "")):
            continue
        attributes = layer.find("rt_info")
        if attributes is None:
            attributes = ElementTree.SubElement(layer, "rt_info")
        ElementTree.SubElement(attributes, "attribute", name="precise", version="0")
