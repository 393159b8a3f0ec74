"""Convolutional block attention module (Woo et al. 2018, "CBAM: Convolutional Block Attention Module")."""

import torch
from torch import Tensor, nn


class ChannelAttention(nn.Module):
    """One weight per channel: ``sigmoid(MLP(mean over pixels) + MLP(maximum over pixels))`` (Woo 2018, equation 2).

    Args:
        channels: number of channels C.
        reduction: the MLP has C / ``reduction`` hidden units, at least one.
    """

    def __init__(self, channels: int, reduction: int = 16) -> None:
        super().__init__()
        hidden = max(1, channels // reduction)
        self.mlp = nn.Sequential(
            nn.Conv2d(channels, hidden, 1, bias=False),
            nn.ReLU(inplace=True),
            nn.Conv2d(hidden, channels, 1, bias=False),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to weights (N, C, 1, 1) between 0 and 1."""
        mean, maximum = x.mean(dim=(2, 3), keepdim=True), x.amax(dim=(2, 3), keepdim=True)
        return torch.sigmoid(self.mlp(mean) + self.mlp(maximum))


class SpatialAttention(nn.Module):
    """One weight per pixel: ``sigmoid(conv7x7([channel mean; channel maximum]))`` (Woo 2018, equation 3)."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 1, kernel_size=7, padding=3)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to weights (N, 1, H, W) between 0 and 1."""
        pooled = torch.cat([x.mean(dim=1, keepdim=True), x.amax(dim=1, keepdim=True)], dim=1)
        return torch.sigmoid(self.conv(pooled))


class CBAM(nn.Module):
    """Channel attention, then spatial attention (Woo 2018, equation 1)."""

    def __init__(self, channels: int, reduction: int = 16) -> None:
        super().__init__()
        self.channel = ChannelAttention(channels, reduction)
        self.spatial = SpatialAttention()

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to the same shape: every value is multiplied by both weights."""
        x = x * self.channel(x)
        weighted: Tensor = x * self.spatial(x)
        return weighted
