"""From an ONNX graph to the files of each format, with everything that a runtime has to know inside."""

import errno
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from floodseg.runtimes.metadata import KEY, ExportedFacts
from floodseg.runtimes.seal import seal

PRECISE_FIRST = (0, 2, 4, 8, 16)
"""bf16: how many of the first convolutions, with all before them, stay in fp32; what they lose reaches all others."""
_NOT_COMPUTED = ("Const", "Parameter", "Result")


def write_openvino(graph: Any, facts: ExportedFacts, path: Path, precise: Sequence[str] = ()) -> None:
    """Write an OpenVINO model as ``path`` and its weights beside it.

    Args:
        graph: an ``openvino.Model``.
        facts: what the file says of itself.
        path: the ``.xml``.
        precise: patterns of names; what they match computes in fp32 also where the rest does in bf16.

    Raises:
        OSError: the files cannot be written whole.
    """
    import openvino

    graph.set_rt_info(facts.to_text(), [KEY])
    failure: RuntimeError | None = None
    try:
        openvino.save_model(graph, path, compress_to_fp16=facts.precision == "bf16")
    except RuntimeError as error:
        failure = error
    # a disk that is full in the middle of a file is not always an error to OpenVINO
    tree = _whole(path)
    if tree is None:
        raise OSError(errno.EIO, "the disk is full, or fails", str(path)) from failure
    if failure:
        raise failure
    if precise:
        _keep_precise(tree, precise)
        tree.write(path, encoding="utf-8", xml_declaration=True)
    seal(path)


def _whole(path: Path) -> Any:
    """Return the tree of an OpenVINO model; None where it, or the weights that it names, are not all there."""
    try:
        tree = ElementTree.parse(path)
        size = path.with_suffix(".bin").stat().st_size
    except (ElementTree.ParseError, FileNotFoundError):
        return None
    ends = [int(data.get("offset", 0)) + int(data.get("size", 0)) for data in tree.iterfind("layers/layer/data")]
    return tree if max(ends, default=0) <= size else None


def _keep_precise(tree: Any, patterns: Sequence[str]) -> None:
    """Mark operations by the attribute with which OpenVINO keeps its own fragile ones out of lower precision."""
    for layer in tree.iterfind("layers/layer"):
        if layer.get("type") in _NOT_COMPUTED or not any(re.match(each, layer.get("name", "")) for each in patterns):
            continue
        notes = layer.find("rt_info")
        if notes is None:
            notes = ElementTree.SubElement(layer, "rt_info")
        ElementTree.SubElement(notes, "attribute", name="precise", version="0")


def write_onnx_form(graph: Any, facts: ExportedFacts, path: Path) -> None:
    """Write an ``onnx.ModelProto`` as one file, weights inside."""
    import onnx

    del graph.metadata_props[:]
    onnx.helper.set_model_props(graph, {KEY: facts.to_text()})
    onnx.save(graph, path)
    seal(path)
