"""Decoder of ``efficient``: a CNN branch for edges, a transformer branch for context, and their fusion."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from floodseg.models.layers.attention import EfficientSelfAttention
from floodseg.models.layers.blocks import conv_bn_relu, init_new_layers, upsample


class UpBlock(nn.Module):
    """One step of the CNN branch: joins a coarse map with a finer feature of the encoder (Ronneberger 2015, "U-Net").

    Each passes a 1x1 convolution, and both are added, which equals a 1x1 convolution of their concatenation. The coarse
    map is reduced before it is upsampled, which gives the same result at a quarter of the cost.
    """

    def __init__(self, coarse_channels: int, skip_channels: int, out_channels: int) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(coarse_channels, out_channels, kernel_size=1, bias=False)
        self.lateral = nn.Conv2d(skip_channels, out_channels, kernel_size=1, bias=False)
        self.norm = nn.BatchNorm2d(out_channels)
        self.relu = nn.ReLU(inplace=True)
        self.conv = conv_bn_relu(out_channels, out_channels)

    def forward(self, coarse: Tensor, skip: Tensor) -> Tensor:
        """Return a map of the size of ``skip``."""
        joined = upsample(self.reduce(coarse), skip.shape[2:]).add_(self.lateral(skip))
        refined: Tensor = self.conv(self.relu(self.norm(joined)))
        return refined


class CNNBranch(nn.Module):
    """Up-blocks from the coarsest to the finest feature, with a skip connection from every stage of the encoder."""

    def __init__(self, channels: Sequence[int], widths: Sequence[int]) -> None:
        super().__init__()
        self.stem = conv_bn_relu(channels[-1], widths[-1], kernel_size=1)
        finer = zip(reversed(channels[:-1]), pairwise(reversed(widths)), strict=True)
        self.blocks = nn.ModuleList(UpBlock(coarse, skip, out) for skip, (coarse, out) in finer)

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """Return a map with the size of the finest feature and the first of the widths as channels."""
        x: Tensor = self.stem(features[-1])
        for block, skip in zip(self.blocks, reversed(features[:-1]), strict=True):
            x = block(x, skip)
        return x


class TransformerBranch(nn.Module):
    """One transformer layer on the coarsest feature: attention and a feed-forward layer, each with a residual."""

    def __init__(self, in_channels: int, out_channels: int, channels: int = 128) -> None:
        super().__init__()
        self.reduce = conv_bn_relu(in_channels, channels, kernel_size=1)
        self.attention = EfficientSelfAttention(channels, cell=2, radius=8)
        self.feed_forward = nn.Sequential(
            nn.BatchNorm2d(channels),
            nn.Conv2d(channels, 2 * channels, kernel_size=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(2 * channels, channels, kernel_size=1),
        )
        self.project = conv_bn_relu(channels, out_channels, kernel_size=1)

    def forward(self, x: Tensor) -> Tensor:
        """Map the coarsest feature (N, in_channels, h, w) to (N, out_channels, h, w)."""
        x = self.attention(self.reduce(x))
        x = x + self.feed_forward(x)
        projected: Tensor = self.project(x)
        return projected


class EfficientDualBranchDecoder(nn.Module):
    """A CNN branch and a transformer branch, joined by one learned weight, and a refinement.

    The branches are joined at the resolution of the finest feature: ``(1 - w) * cnn + w * transformer`` with
    ``w = sigmoid(alpha)``. At full resolution, the pixelwise detail map is added, which has the finest water edges.
    Fine maps, which take most of the time, have few channels.

    Args:
        channels: channels of the features, finest first.
        strides: strides of the features in pixels, finest first.
        detail_channels: channels of the full-resolution detail map.
        classes: number of logits.
        width: channels of maps at stride 2.
        max_width: largest number of channels of the CNN branch, reached at stride 16.
    """

    def __init__(
        self,
        channels: Sequence[int],
        strides: Sequence[int],
        detail_channels: int,
        classes: int = 2,
        width: int = 16,
        max_width: int = 128,
    ) -> None:
        super().__init__()
        widths = [min(max(width, width * stride // 2), max_width) for stride in strides]
        self.cnn = CNNBranch(channels, widths)
        self.transformer = TransformerBranch(channels[-1], widths[0])
        self.alpha = nn.Parameter(torch.zeros(()))
        # only for the fused map: the detail map is already the output of a linear layer
        self.reduce = nn.Conv2d(widths[0], detail_channels, kernel_size=1, bias=False)
        self.refine = conv_bn_relu(detail_channels, detail_channels)
        self.classify = nn.Conv2d(detail_channels, classes, kernel_size=1)
        init_new_layers(self)

    def forward(self, features: Sequence[Tensor], detail: Tensor) -> Tensor:
        """Return logits (N, classes, H, W) from features, finest first, and detail (N, detail_channels, H, W)."""
        edges = self.cnn(features)
        # in mixed precision the branches can have different types
        context = upsample(self.transformer(features[-1]), edges.shape[2:]).to(edges.dtype)
        fused = torch.lerp(edges, context, self.transformer_weight.to(edges.dtype))
        logits: Tensor = self.classify(self.refine(upsample(self.reduce(fused), detail.shape[2:]).add_(detail)))
        return logits

    @property
    def transformer_weight(self) -> Tensor:
        """Weight of the transformer branch, a scalar from 0 to 1. The weight of the CNN branch is the rest."""
        return self.alpha.sigmoid()
