"""Layers and functions that several networks share."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def conv_bn_relu(
    in_channels: int, out_channels: int, kernel_size: int = 3, *, stride: int = 1, dilation: int = 1
) -> nn.Sequential:
    """Return a convolution, batch normalisation and ReLU. Height and width are divided by ``stride``, rounded up."""
    padding = dilation * (kernel_size // 2)
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, kernel_size, stride, padding, dilation, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(inplace=True),
    )


def init_new_layers(module: nn.Module) -> None:
    """Initialise the convolutions of ``module`` in place (He 2015, "Delving Deep into Rectifiers", equation 10)."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


def upsample(x: Tensor, size: Sequence[int]) -> Tensor:
    """Interpolate (N, C, h, w) bilinearly to height and width ``size``."""
    return F.interpolate(x, size=tuple(size), mode="bilinear", align_corners=False)


def cell_means(x: Tensor, cell: int) -> Tensor:
    """Average (N, C, H, W) over cells of ``cell`` x ``cell`` pixels to (N, C, ceil(H / cell), ceil(W / cell)).

    Cells at the lower and right border may be smaller: their mean is that of the pixels inside the map.
    """
    # constant padding can be exported for any size, unlike ceil_mode or a remainder of H
    means = F.avg_pool2d(F.pad(x, (0, cell - 1, 0, cell - 1)), cell)
    rows, columns = (
        (x.shape[axis] - cell * torch.arange(means.shape[axis], device=x.device)).clamp(max=cell) for axis in (2, 3)
    )  # rows and columns of each cell inside the map
    return means / ((rows[:, None] * columns).to(x.dtype) / cell**2)
