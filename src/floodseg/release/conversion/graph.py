"""From PyTorch to an ONNX graph that takes any batch, height and width."""

import ast
import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import onnx
import torch
from timm.layers.conv2d_same import Conv2dSame
from torch import Tensor, nn

from floodseg.bands import Bands, Sensor
from floodseg.inference.exported import MINIMUM_SIDE
from floodseg.models.deploy import DeployedModel

OPSET = 18
"""The lowest that the exporter writes without converting afterwards."""

_SCOPES = "pkg.torch.onnx.name_scopes"
_STRIDE = 32
"""Sizes that an encoder with TensorFlow's padding takes once it is exported are multiples of this."""
_EXAMPLE = (2, 160, 224)
"""Batch, height and width of the example: unlike numbers, none of which can be taken for a constant of the network."""
_MOST = {"batch": 1024, "height": 16384, "width": 16384}


def write_onnx(model: DeployedModel, bands: Bands, path: Path) -> int:
    """Write the graph of ``model`` to ``path``, and return what H and W must be multiples of.

    Inputs are ``sar`` (N, C, H, W) float32, ``optical`` alike, ``sar_valid`` (N, H, W) bool and ``optical_valid``,
    those of a missing sensor left out; the output is ``probability`` (N, H, W) float32. Paddings of ``model`` may
    be changed.
    """
    multiple = _fix_padding(model)
    names, example = _example(model, bands)
    batch, height, width = (
        torch.export.Dim(name, min=1 if name == "batch" else MINIMUM_SIDE, max=most) for name, most in _MOST.items()
    )
    if multiple > 1:
        # the exporter cannot prove that strides divide any size, so the size is said to be made of whole strides
        rows, columns = (
            torch.export.Dim(name, min=MINIMUM_SIDE // multiple, max=_MOST[name] // multiple)
            for name in ("height", "width")
        )
        height, width = multiple * rows, multiple * columns
    shapes = tuple(
        {0: batch, 2: height, 3: width} if tensor.ndim == 4 else {0: batch, 1: height, 2: width} for tensor in example
    )
    with warnings.catch_warnings(), _quiet():
        # the exporter's notes on itself are not for users
        warnings.simplefilter("ignore")
        program = torch.export.export(model, example, dynamic_shapes=(shapes,), strict=False)
        attention = torch.ops.aten.scaled_dot_product_attention.default
        program = program.run_decompositions({attention: _attention})
        exported = torch.onnx.export(
            program, (), input_names=names, output_names=["probability"], opset_version=OPSET, dynamo=True,
            optimize=True, verbose=False,
        )  # fmt: skip
    assert exported is not None
    graph = exported.model_proto
    _name_by_module(graph)
    onnx.save(graph, path)
    return multiple


def _name_by_module(graph: onnx.ModelProto) -> None:
    """Name each node after the module that it comes from, and drop what else the exporter noted: paths of this machine.

    So a node of the query of ``context`` is called ``network.context.query/Conv_93``, in every runtime.
    """
    for index, node in enumerate(graph.graph.node):
        scopes = next((entry.value for entry in node.metadata_props if entry.key == _SCOPES), "[]")
        # from the outermost module to the operation itself
        modules = ast.literal_eval(scopes)[:-1]
        node.name = f"{modules[-1] if modules else ''}/{node.op_type}_{index}"
        del node.metadata_props[:]
    del graph.graph.value_info[:]
    del graph.metadata_props[:]


def _example(model: DeployedModel, bands: Bands) -> tuple[list[str], tuple[Tensor, ...]]:
    """Return names and values of inputs, in the order in which the model takes them."""
    batch, height, width = _EXAMPLE
    channels: Mapping[Sensor, int] = {"sar": len(bands.sar), "optical": len(bands.optical)}
    images: dict[str, Tensor] = {name: torch.zeros(batch, channels[name], height, width) for name in model.sensors}
    valid = {f"{name}_valid": torch.ones(batch, height, width, dtype=torch.bool) for name in model.sensors}
    named = images | valid
    return list(named), tuple(named.values())


def _attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """Attention in the layers that every runtime knows (Vaswani 2017, equation 1); the exporter wants a fourth axis."""
    assert dropout_p == is_causal == enable_gqa == 0, "no model here uses these"
    scores = torch.matmul(query * (query.shape[-1] ** -0.5 if scale is None else scale), key.transpose(-2, -1))
    if attn_mask is not None:
        # not infinite: arithmetic on it stays defined in every number format
        scores = scores.masked_fill(~attn_mask, -1e9)
    return torch.matmul(scores.softmax(dim=-1), value)


def _fix_padding(network: nn.Module) -> int:
    """Give convolutions that pad by the size of the image (as TensorFlow does) a fixed padding, in place.

    A size that depends on a remainder cannot be exported. The padding is exact for sizes that their stride divides, so
    the number that is returned is what H and W must be multiples of.
    """
    found = [
        (parent, name, layer)
        for parent in network.modules()
        for name, layer in parent.named_children()
        if isinstance(layer, Conv2dSame)
    ]
    for parent, name, layer in found:
        setattr(parent, name, nn.Sequential(nn.ZeroPad2d(_same_padding(layer)), _without_padding(layer)))
    return _STRIDE if found else 1


def _same_padding(layer: nn.Conv2d) -> tuple[int, int, int, int]:
    """Return left, right, top and bottom padding of a size that the stride divides: more of it after than before."""
    rows, columns = (
        max(0, dilation * (kernel - 1) + 1 - stride)
        for kernel, stride, dilation in zip(layer.kernel_size, layer.stride, layer.dilation, strict=True)
    )
    return columns // 2, columns - columns // 2, rows // 2, rows - rows // 2


def _without_padding(layer: nn.Conv2d) -> nn.Conv2d:
    plain = nn.Conv2d(
        layer.in_channels, layer.out_channels, layer.kernel_size, layer.stride, 0, layer.dilation, layer.groups,  # type: ignore[arg-type]
        bias=layer.bias is not None,
    )  # fmt: skip
    plain.load_state_dict(layer.state_dict())
    return plain.eval()


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporter from logging, and give the levels back."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)
