"""ONNX graph of a model, for any batch, height and width."""

import ast
import warnings
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import onnx
import torch
from timm.layers.conv2d_same import Conv2dSame
from torch import Tensor, nn
from torch._dynamo.exc import UserError
from torch.onnx import OnnxExporterError

from floodseg.bands import Bands, Sensor
from floodseg.errors import ConfigError
from floodseg.models.deploy import DeployedModel
from floodseg.runtimes.metadata import MINIMUM_SIDE

OPSET = 18
"""The lowest that the exporter writes without converting afterwards."""

_SCOPES = "pkg.torch.onnx.name_scopes"
_STRIDE = 32
"""The coarsest stride of any model: what cannot be exported for any size is exported for multiples of this."""
_EXAMPLE = (2, 160, 224)
"""Batch, height and width of the example, different from each other and from all constants of the network."""
_MOST_IMAGES, _LARGEST_SIDE = 1024, 16384


def write_graph(model: DeployedModel, bands: Bands, path: Path) -> int:
    """Write the graph of ``model`` to ``path``, and return what H and W must be multiples of.

    Inputs are ``sar`` (N, C, H, W) float32, ``sar_valid`` (N, H, W) bool, and the same for ``optical``; those of a
    missing sensor are left out. The output is ``probability`` (N, H, W) float32. Paddings of ``model`` may be changed.
    """
    multiples = (_STRIDE,) if _fix_padding(model) else (1, _STRIDE)
    refusal: Exception | None = None
    for multiple in multiples:
        try:
            graph = _traced(model, bands, multiple)
        except (UserError, OnnxExporterError) as error:
            # the tracer can prove for multiples of the stride what it cannot prove for all sizes
            refusal = error
            continue
        _name_by_module(graph)
        onnx.save(graph, path)
        return multiple
    reason = str(refusal).strip().splitlines()[0]
    raise ConfigError(f"the network cannot be traced for images of any size ({reason}): map with `runtime=torch`")


def _traced(model: DeployedModel, bands: Bands, multiple: int) -> onnx.ModelProto:
    """Return the graph for heights and widths that are multiples of a number."""
    names, example = _example(model, bands)
    shapes = _free_shapes(example, multiple)
    attention = torch.ops.aten.scaled_dot_product_attention.default
    with warnings.catch_warnings():
        # the exporter's notes on itself are not for users
        warnings.simplefilter("ignore")
        program = torch.export.export(model, example, dynamic_shapes=(shapes,), strict=False)
        exported = torch.onnx.export(
            program, (), input_names=names, output_names=["probability"], opset_version=OPSET, dynamo=True,
            optimize=True, verbose=False, custom_translation_table={attention: _attention},
        )  # fmt: skip
    assert exported is not None
    return exported.model_proto


def _free_shapes(example: tuple[Tensor, ...], multiple: int) -> tuple[dict[int, Any], ...]:
    """Return which axes of the inputs are free: batch, height and width, the latter two multiples of a number."""
    batch = torch.export.Dim("batch", min=1, max=_MOST_IMAGES)
    height, width = (
        multiple * torch.export.Dim(name, min=MINIMUM_SIDE // multiple, max=_LARGEST_SIDE // multiple)
        for name in ("height", "width")
    )
    return tuple(
        {0: batch, 2: height, 3: width} if tensor.ndim == 4 else {0: batch, 1: height, 2: width} for tensor in example
    )


def _name_by_module(graph: onnx.ModelProto) -> None:
    """Name each node after its module, and drop the exporter's other notes, which hold paths of this machine.

    A node of the query of ``context`` is called ``model.network.context.query/Conv_93``, in every runtime.
    """
    for index, node in enumerate(graph.graph.node):
        scopes = next((entry.value for entry in node.metadata_props if entry.key == _SCOPES), "[]")
        # from the outermost module to the operation itself
        modules = ast.literal_eval(scopes)[:-1]
        node.name = f"{modules[-1] if modules else ''}/{node.op_type}_{index}"
        del node.metadata_props[:]
    del graph.graph.value_info[:]
    del graph.metadata_props[:]


def first_convolutions(graph: Path, count: int) -> list[str]:
    """Return the nodes before convolution ``count + 1`` of each network, normalisation included."""
    names, convolutions = [], Counter[str]()
    for node in onnx.load(graph).graph.node:
        owner, network, _ = node.name.partition("network")
        convolutions[owner] += bool(network) and node.op_type == "Conv"
        if "normalise_" in owner or (network and convolutions[owner] <= count):
            names.append(node.name)
    return names


def _example(model: DeployedModel, bands: Bands) -> tuple[list[str], tuple[Tensor, ...]]:
    """Return names and values of the inputs, in the order of the model's arguments."""
    batch, height, width = _EXAMPLE
    channels: Mapping[Sensor, int] = {"sar": len(bands.sar), "optical": len(bands.optical)}
    images: dict[str, Tensor] = {name: torch.zeros(batch, channels[name], height, width) for name in model.sensors}
    valid = {f"{name}_valid": torch.ones(batch, height, width, dtype=torch.bool) for name in model.sensors}
    named = images | valid
    return list(named), tuple(named.values())


def _attention(query: Any, key: Any, value: Any, attn_mask: Any = None, dropout_p: float = 0.0) -> Any:
    """Attention in operations of every runtime (Vaswani 2017, equation 1).

    The exporter's own takes four axes only. Arguments are values of the graph: (N, tokens, channels), and for the mask
    (tokens, tokens) bool.
    """
    from onnxscript import opset18 as op

    scale = op.Constant(value_float=query.shape[-1] ** -0.5)
    scores = op.MatMul(op.Mul(query, scale), op.Transpose(key, perm=[0, 2, 1]))
    if attn_mask is not None:
        # not infinite, so that arithmetic on it is defined in every number format
        scores = op.Where(attn_mask, scores, op.Constant(value_float=-1e9))
    return op.MatMul(op.Softmax(scores, axis=-1), value)


def _fix_padding(network: nn.Module) -> bool:
    """Give convolutions that pad by the size of the image (as TensorFlow does) a fixed padding, in place.

    A size that depends on a remainder cannot be exported. The fixed padding is that of sizes that are multiples of the
    stride. Return whether there are any.
    """
    found = [
        (parent, name, layer)
        for parent in network.modules()
        for name, layer in parent.named_children()
        if isinstance(layer, Conv2dSame)
    ]
    for parent, name, layer in found:
        setattr(parent, name, nn.Sequential(nn.ZeroPad2d(_same_padding(layer)), _without_padding(layer)))
    return bool(found)


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
