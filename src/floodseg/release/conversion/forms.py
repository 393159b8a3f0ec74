"""From an ONNX graph to the files of each format, with everything that a runtime has to know inside."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from floodseg.inference.exported import KEY, ExportedFacts

_NOT_COMPUTED = ("Const", "Parameter", "Result")


def write_openvino(graph: Any, facts: ExportedFacts, path: Path, precise: Sequence[str] = ()) -> None:
    """Write an OpenVINO model as ``path`` and its weights beside it.

    Args:
        graph: an ``openvino.Model``.
        facts: what the file says of itself.
        path: the ``.xml``.
        precise: patterns of names; what they match computes in fp32 also where the rest does in bf16.
    """
    import openvino

    graph.set_rt_info(facts.to_text(), [KEY])
    openvino.save_model(graph, path, compress_to_fp16=facts.precision == "bf16")
    if precise:
        _keep_precise(path, precise)


def _keep_precise(path: Path, patterns: Sequence[str]) -> None:
    """Mark operations by the attribute with which OpenVINO keeps its own fragile ones out of lower precision."""
    tree = ElementTree.parse(path)
    for layer in tree.iterfind("layers/layer"):
        if layer.get("type") in _NOT_COMPUTED or not any(re.match(each, layer.get("name", "")) for each in patterns):
            continue
        notes = layer.find("rt_info")
        if notes is None:
            notes = ElementTree.SubElement(layer, "rt_info")
        ElementTree.SubElement(notes, "attribute", name="precise", version="0")
    tree.write(path, encoding="utf-8", xml_declaration=True)


def write_onnx_form(graph: Any, facts: ExportedFacts, path: Path) -> None:
    """Write an ``onnx.ModelProto`` as one file, weights inside."""
    import onnx

    del graph.metadata_props[:]
    onnx.helper.set_model_props(graph, {KEY: facts.to_text()})
    onnx.save(graph, path)
