"""Encoders: timm backbones that end at a maximum stride, with new or pretrained weights.

timm is imported when an encoder is built, since models without one load in half of the time without it.
"""

import difflib
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from floodseg.errors import ConfigError
from floodseg.models.encoders.pretrained import Pretrained, PretrainedRecord, load_encoder_weights

NAMED_ENCODERS: tuple[str, ...] = ("resnet18", "resnet34", "resnet50", "efficientnet_b0", "efficientnet_b1")
"""Tested and documented encoders. Other timm encoders with ``features_only`` support work too."""

_UNSUPPORTED = (RuntimeError, AssertionError, ValueError, TypeError, AttributeError, LookupError)
"""Errors of timm for an encoder without features or an unsupported image size. The type depends on the family."""


class Encoder(nn.Module):
    """A timm backbone that returns one feature per stride.

    Attributes:
        channels: channels of the features, finest first.
        strides: strides of the features in pixels, finest first.
        pretrained_record: origin of the weights.
        multiple: height and width of the input are padded to a multiple of this number.
    """

    def __init__(
        self,
        body: nn.Module,
        channels: Sequence[int],
        strides: Sequence[int],
        pretrained_record: PretrainedRecord,
        multiple: int,
    ) -> None:
        super().__init__()
        self.body = body
        self.channels, self.strides = tuple(channels), tuple(strides)
        self.pretrained_record = pretrained_record
        self.multiple = multiple

    def forward(self, x: Tensor) -> list[Tensor]:
        """Map (N, in_channels, H, W) to features (N, channels[i], ~H / strides[i], ~W / strides[i])."""
        if self.multiple == 1:
            features: list[Tensor] = self.body(x)
            return features
        height, width = x.shape[2:]
        padded = F.pad(x, (0, -width % self.multiple, 0, -height % self.multiple), mode="replicate")
        # crops the features that lie completely in the padding
        return [
            feature[:, :, : -(-height // stride), : -(-width // stride)]
            for feature, stride in zip(self.body(padded), self.strides, strict=True)
        ]


def build_encoder(name: str, in_channels: int, pretrained: Pretrained = None, max_stride: int = 16) -> Encoder:
    """Build a timm encoder without the stages beyond ``max_stride``.

    Args:
        name: a timm architecture with ``features_only`` support, with or without a tag of its weights.
        in_channels: number of input channels, a multiple of 3 for pretrained weights.
        pretrained: ``auto``, ``required``, ``none`` (or None), or a file of weights.
        max_stride: stride of the coarsest feature.

    Raises:
        ConfigError: the encoder is unknown, or does not work on images of any size.
        CheckpointError: required weights are not available, or weights do not fit the encoder.
    """
    import timm

    if not timm.is_model(name):
        close = difflib.get_close_matches(name.lower(), [*NAMED_ENCODERS, *timm.list_models()], n=3)
        hint = (
            f"did you mean {' or '.join(dict.fromkeys(close))}?" if close else f"use one of {', '.join(NAMED_ENCODERS)}"
        )
        raise ConfigError(f"`encoder={name}`: must be an encoder of timm; {hint}")
    indices, channels, strides = _stages(name, max_stride)
    body = _create(name, in_chans=in_channels, out_indices=indices)
    multiple = _size_multiple(name, body, in_channels, channels)
    _drop_unused_stages(body, in_channels)
    record = load_encoder_weights(body, name, pretrained)
    return Encoder(body, channels, strides, record, multiple)


def _create(name: str, **arguments: Any) -> nn.Module:
    import timm

    try:
        return timm.create_model(name, pretrained=False, features_only=True, **arguments)
    except _UNSUPPORTED as error:
        raise _unusable(name, str(error)) from error


def _unusable(name: str, reason: str) -> ConfigError:
    return ConfigError(
        f"`encoder={name}`: must be a timm encoder that returns features at several strides for images of any size "
        f"({reason.splitlines()[0] if reason else 'it fails'}); "
        f"use {', '.join(NAMED_ENCODERS)} or another convolutional encoder"
    )


def _stages(name: str, max_stride: int) -> tuple[list[int], list[int], list[int]]:
    """Return index, channels and stride of the last feature of each stride from 2 to ``max_stride``."""
    with torch.device("meta"):
        info: Any = _create(name).feature_info
    features = zip(info.out_indices, info.channels(), info.reduction(), strict=True)
    by_stride = {stride: (index, channels) for index, channels, stride in features if 2 <= stride <= max_stride}
    if not by_stride:
        raise _unusable(name, f"its strides are {info.reduction()}, and none is from 2 to {max_stride}")
    strides = sorted(by_stride)
    return [by_stride[s][0] for s in strides], [by_stride[s][1] for s in strides], strides


@torch.no_grad()
def _size_multiple(name: str, body: nn.Module, in_channels: int, channels: Sequence[int]) -> int:
    """Return 1 if the encoder takes images of any size, or 32 if height and width must be multiples of 32."""
    body.eval()
    reason = ""
    for multiple, size in ((1, (33, 47)), (32, (32, 64))):
        try:
            features = body(torch.zeros(1, in_channels, *size))
        except _UNSUPPORTED as error:
            reason = str(error)
            continue
        if [feature.shape[1] for feature in features] == list(channels):
            return multiple
        reason = f"its features are {[tuple(feature.shape) for feature in features]}, not channels first"
    raise _unusable(name, reason)


def _drop_unused_stages(body: nn.Module, in_channels: int) -> None:
    """Delete the last stages that no feature depends on, and freeze other unused parameters.

    Some timm families keep and run such stages.
    """
    with torch.enable_grad():
        features = body.eval()(torch.zeros(1, in_channels, 64, 96))
        torch.autograd.backward([feature.sum() for feature in features])
    for stages in [child for child in body.children() if isinstance(child, nn.Sequential)]:
        while len(stages) > 1 and all(parameter.grad is None for parameter in stages[-1].parameters()):
            del stages[-1]
    for parameter in body.parameters():
        # training in several processes waits for the gradients of all parameters that are not frozen
        parameter.requires_grad_(parameter.grad is not None)
    body.zero_grad(set_to_none=True)
    body.train()
