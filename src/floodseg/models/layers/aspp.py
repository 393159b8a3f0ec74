"""Atrous spatial pyramid pooling (Chen et al. 2017, "Rethinking Atrous Convolution for Semantic Segmentation")."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from floodseg.models.layers.blocks import conv_bn_relu


class ImagePooling(nn.Module):
    """The image-level feature: the mean over all pixels through a 1x1 convolution, expanded to every pixel.

    It has no batch normalisation, unlike in the paper. With one value per channel and sample, a batch of one sample
    has no variance and cannot be normalised.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.project = nn.Sequential(nn.Conv2d(in_channels, out_channels, 1), nn.ReLU(inplace=True))

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C_in, H, W) to (N, C_out, H, W), the same value at every pixel."""
        pooled: Tensor = self.project(x.mean(dim=(2, 3), keepdim=True))
        return pooled.expand(-1, -1, *x.shape[2:])


class ASPP(nn.Module):
    """Parallel 1x1, dilated 3x3 and image pooling branches, concatenated and projected by a 1x1 convolution.

    Args:
        in_channels: channels of the input.
        out_channels: channels of every branch and of the output.
        dilations: one 3x3 branch for each (6, 12 and 18 in the paper).
    """

    def __init__(self, in_channels: int, out_channels: int, dilations: Sequence[int] = (6, 12, 18)) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            [
                conv_bn_relu(in_channels, out_channels, kernel_size=1),
                *(conv_bn_relu(in_channels, out_channels, dilation=dilation) for dilation in dilations),
                ImagePooling(in_channels, out_channels),
            ]
        )
        self.project = conv_bn_relu(len(self.branches) * out_channels, out_channels, kernel_size=1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C_in, H, W) to (N, C_out, H, W)."""
        projected: Tensor = self.project(torch.cat([branch(x) for branch in self.branches], dim=1))
        return projected
