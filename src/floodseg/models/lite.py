"""``lite``: a small U-shaped network for the CPU, below one million parameters."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from floodseg.models.attention import EfficientSelfAttention

WIDTHS = (24, 48, 80, 112)
"""Channels at strides 2, 4, 8 and 16."""


def _conv_bn_relu(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    convolution = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))


class SensorStem(nn.Module):
    """Brings one sensor to stride 2 and says how much of each output pixel it saw.

    The mean validity of the 2x2 input pixels is the weight of this sensor in the masked fusion.
    """

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.features = _conv_bn_relu(channels, width, stride=2)
        self.log_weight = nn.Parameter(torch.zeros(()))

    def forward(self, image: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
        """Return features (N, width, H/2, W/2) and weights (N, 1, H/2, W/2), exactly 0 where nothing is valid."""
        share = F.avg_pool2d(valid, 2, ceil_mode=True)
        return self.features(image), share * self.log_weight.exp()


class PixelMixer(nn.Module):
    """A per-pixel network on all bands at full resolution: keeps edges and spectra that stride 2 blurs."""

    def __init__(self, channels: int, hidden: int = 12) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(channels, hidden, 1), nn.ReLU(inplace=True), nn.Conv2d(hidden, 2, 1))

    def forward(self, sar: Tensor, optical: Tensor, sar_valid: Tensor, optical_valid: Tensor) -> Tensor:
        """Return logits (N, 2, H, W)."""
        logits: Tensor = self.layers(torch.cat((sar, optical, sar_valid, optical_valid), dim=1))
        return logits


class LiteFloodNet(nn.Module):
    """Per-sensor stems, masked fusion at stride 2, a narrow U-Net with global context, and a per-pixel branch.

    U-Net: Ronneberger et al. 2015. Context at stride 16: pooled self-attention (Wang et al. 2018).
    """

    def __init__(self, sar_channels: int, optical_channels: int) -> None:
        super().__init__()
        w2, w4, w8, w16 = WIDTHS
        self.sar_stem = SensorStem(sar_channels, w2) if sar_channels else None
        self.optical_stem = SensorStem(optical_channels, w2) if optical_channels else None
        self.pixels = PixelMixer(sar_channels + optical_channels + 2)
        self.encode2 = _conv_bn_relu(w2, w2)
        self.encode4 = nn.Sequential(_conv_bn_relu(w2, w4, stride=2), _conv_bn_relu(w4, w4))
        self.encode8 = nn.Sequential(_conv_bn_relu(w4, w8, stride=2), _conv_bn_relu(w8, w8))
        self.encode16 = nn.Sequential(_conv_bn_relu(w8, w16, stride=2), _conv_bn_relu(w16, w16))
        self.context = EfficientSelfAttention(w16)
        self.decode8 = nn.Sequential(_conv_bn_relu(w16 + w8, w8), _conv_bn_relu(w8, w8))
        self.decode4 = nn.Sequential(_conv_bn_relu(w8 + w4, w4), _conv_bn_relu(w4, w4))
        self.decode2 = nn.Sequential(_conv_bn_relu(w4 + w2, w2), _conv_bn_relu(w2, w2))
        self.head = nn.Conv2d(w2, 2, 1)

    def forward(self, sar: Tensor, optical: Tensor, sar_valid: Tensor, optical_valid: Tensor) -> Tensor:
        """Return logits (N, 2, H, W) from standardised images (0 where invalid) and validity (N, 1, H, W) float."""
        at2 = self.encode2(self._fuse(sar, optical, sar_valid, optical_valid))
        at4 = self.encode4(at2)
        at8 = self.encode8(at4)
        at16 = self.context(self.encode16(at8))
        up8 = self.decode8(_join(at16, at8))
        up4 = self.decode4(_join(up8, at4))
        up2 = self.decode2(_join(up4, at2))
        logits = F.interpolate(self.head(up2), size=sar.shape[-2:], mode="bilinear", align_corners=False)
        pixels: Tensor = self.pixels(sar, optical, sar_valid, optical_valid)
        return logits + pixels

    def _fuse(self, sar: Tensor, optical: Tensor, sar_valid: Tensor, optical_valid: Tensor) -> Tensor:
        """Average the stems' features by their weights: over the valid sensors only, zero where there is none."""
        parts: list[tuple[Tensor, Tensor]] = []
        if self.sar_stem is not None:
            parts.append(self.sar_stem(sar, sar_valid))
        if self.optical_stem is not None:
            parts.append(self.optical_stem(optical, optical_valid))
        # The small constant only keeps 0 / 0 from being NaN: a weight is 0 or at least a quarter of exp(log_weight)
        total = sum((weight for _, weight in parts), start=torch.full_like(sar_valid[:1, :, :1, :1], 1e-6))
        fused: Tensor = sum((features * (weight / total) for features, weight in parts), start=torch.zeros_like(total))
        return fused


def _join(deep: Tensor, skip: Tensor) -> Tensor:
    deep = F.interpolate(deep, size=skip.shape[-2:], mode="bilinear", align_corners=False)
    return torch.cat((deep, skip), dim=1)


def lite(*, sar_channels: int = 2, optical_channels: int = 13) -> LiteFloodNet:
    """Build ``lite`` for the given numbers of bands; 0 leaves a sensor out."""
    return LiteFloodNet(sar_channels, optical_channels)
