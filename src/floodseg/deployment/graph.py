"""Tracing of a model to an ONNX graph with dynamic batch size, height and width."""

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
from floodseg.runtimes.metadata import EXPORT_MIN_SIDE

OPSET = 18
"""The lowest opset that the exporter writes without a version conversion."""

_SCOPES_KEY = "pkg.torch.onnx.name_scopes"
_STRIDE = 32
"""The coarsest stride of all models. A model that cannot be traced for every size is traced for its multiples."""
_EXAMPLE_SHAPE = (2, 160, 224)
"""Batch, height and width of the example inputs. They differ from each other and from all constants of the network."""
_MAXIMUM_BATCH, _MAXIMUM_SIDE = 1024, 16384


def write_graph(model: DeployedModel, bands: Bands, path: Path) -> int:
    """Write the graph of ``model`` to ``path``.

    The inputs are ``sar`` and ``optical`` (N, C, H, W) float32, and ``sar_valid`` and ``optical_valid`` (N, H, W) bool,
    for the sensors of the model only. The output is ``probability`` (N, H, W) float32. The padding layers of ``model``
    may be replaced in place.

    Returns:
        The number that H and W must be multiples of.

    Raises:
        ConfigError: the network cannot be traced.
    """
    multiples = (_STRIDE,) if _fix_padding(model) else (1, _STRIDE)
    failure: Exception | None = None
    for multiple in multiples:
        try:
            graph = _trace(model, bands, multiple)
        except (UserError, OnnxExporterError) as error:
            # the tracer may succeed for multiples of the stride if it fails for every size
            failure = error
            continue
        _name_by_module(graph)
        onnx.save(graph, path)
        return multiple
    reason = str(failure).strip().splitlines()[0]
    raise ConfigError(f"the network cannot be exported with dynamic image size ({reason}); map with `runtime=torch`")


def _trace(model: DeployedModel, bands: Bands, multiple: int) -> onnx.ModelProto:
    """Return the graph for heights and widths that are multiples of ``multiple``."""
    names, example = _example_inputs(model, bands)
    shapes = _dynamic_shapes(example, multiple)
    attention = torch.ops.aten.scaled_dot_product_attention.default
    with warnings.catch_warnings():
        # the exporter warns about its own internals
        warnings.simplefilter("ignore")
        program = torch.export.export(model, example, dynamic_shapes=(shapes,), strict=False)
        exported = torch.onnx.export(
            program, (), input_names=names, output_names=["probability"], opset_version=OPSET, dynamo=True,
            optimize=True, verbose=False, custom_translation_table={attention: _attention},
        )  # fmt: skip
    assert exported is not None
    return exported.model_proto


def _dynamic_shapes(example: tuple[Tensor, ...], multiple: int) -> tuple[dict[int, Any], ...]:
    """Return the dynamic axes of the inputs: batch, and height and width as multiples of ``multiple``."""
    batch = torch.export.Dim("batch", min=1, max=_MAXIMUM_BATCH)
    height, width = (
        multiple * torch.export.Dim(name, min=EXPORT_MIN_SIDE // multiple, max=_MAXIMUM_SIDE // multiple)
        for name in ("height", "width")
    )
    return tuple(
        {0: batch, 2: height, 3: width} if tensor.ndim == 4 else {0: batch, 1: height, 2: width} for tensor in example
    )


def _name_by_module(graph: onnx.ModelProto) -> None:
    """Name each node after its module, and remove the exporter's other metadata, which holds local paths.

    For example, the query convolution of module ``context`` becomes ``model.network.context.query/Conv_93``.
    """
    for index, node in enumerate(graph.graph.node):
        scopes = next((entry.value for entry in node.metadata_props if entry.key == _SCOPES_KEY), "[]")
        # scopes run from the outermost module to the operation itself
        modules = ast.literal_eval(scopes)[:-1]
        node.name = f"{modules[-1] if modules else ''}/{node.op_type}_{index}"
        del node.metadata_props[:]
    del graph.graph.value_info[:]
    del graph.metadata_props[:]


def nodes_before_convolution(graph: Path, count: int) -> list[str]:
    """Return the names of normalisation nodes, and of each network's nodes before convolution ``count + 1``."""
    names, convolutions = [], Counter[str]()
    for node in onnx.load(graph).graph.node:
        model_path, in_network, _ = node.name.partition("network")
        convolutions[model_path] += bool(in_network) and node.op_type == "Conv"
        if "normalise_" in model_path or (in_network and convolutions[model_path] <= count):
            names.append(node.name)
    return names


def _example_inputs(model: DeployedModel, bands: Bands) -> tuple[list[str], tuple[Tensor, ...]]:
    """Return the names and example values of the inputs, in the order of the model's arguments."""
    batch, height, width = _EXAMPLE_SHAPE
    channels: Mapping[Sensor, int] = {"sar": len(bands.sar), "optical": len(bands.optical)}
    images: dict[str, Tensor] = {name: torch.zeros(batch, channels[name], height, width) for name in model.sensors}
    valid = {f"{name}_valid": torch.ones(batch, height, width, dtype=torch.bool) for name in model.sensors}
    named = images | valid
    return list(named), tuple(named.values())


def _attention(query: Any, key: Any, value: Any, attn_mask: Any = None, dropout_p: float = 0.0) -> Any:
    """Attention in basic operations that every runtime supports (Vaswani et al. 2017, equation 1).

    It replaces the exporter's translation, which supports only inputs of four axes. Query, key and value are graph
    values (N, tokens, channels); the mask is (tokens, tokens) bool.
    """
    from onnxscript import opset18 as op

    scale = op.Constant(value_float=query.shape[-1] ** -0.5)
    scores = op.MatMul(op.Mul(query, scale), op.Transpose(key, perm=[0, 2, 1]))
    if attn_mask is not None:
        # a finite number, because arithmetic on infinity is undefined in some precisions
        scores = op.Where(attn_mask, scores, op.Constant(value_float=-1e9))
    return op.MatMul(op.Softmax(scores, axis=-1), value)


def _fix_padding(network: nn.Module) -> bool:
    """Replace TensorFlow's "same" padding of convolutions with a fixed padding, in place.

    "Same" padding depends on the remainder of the image size, which cannot be traced. The fixed padding is correct for
    sizes that are multiples of the stride.

    Returns:
        True if the network has such convolutions.
    """
    found = [
        (parent, name, layer)
        for parent in network.modules()
        for name, layer in parent.named_children()
        if isinstance(layer, Conv2dSame)
    ]
    for parent, name, layer in found:
        setattr(parent, name, nn.Sequential(nn.ZeroPad2d(_fixed_padding(layer)), _unpadded(layer)))
    return bool(found)


def _fixed_padding(layer: nn.Conv2d) -> tuple[int, int, int, int]:
    """Return the left, right, top and bottom padding for a size that is a multiple of the stride."""
    rows, columns = (
        max(0, dilation * (kernel - 1) + 1 - stride)
        for kernel, stride, dilation in zip(layer.kernel_size, layer.stride, layer.dilation, strict=True)
    )
    return columns // 2, columns - columns // 2, rows // 2, rows - rows // 2


def _unpadded(layer: nn.Conv2d) -> nn.Conv2d:
    unpadded = nn.Conv2d(
        layer.in_channels, layer.out_channels, layer.kernel_size, layer.stride, 0, layer.dilation, layer.groups,  # type: ignore[arg-type]
        bias=layer.bias is not None,
    )  # fmt: skip
    unpadded.load_state_dict(layer.state_dict())
    return unpadded.eval()
