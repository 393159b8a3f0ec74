"""``lite``: a small U-shaped network for the CPU, below one million parameters."""

from functools import reduce

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from floodseg.models.attention import EfficientSelfAttention
from floodseg.models.layers import conv_bn_relu

WIDTHS = (24, 48, 80, 112, 144)
"""Channels at strides 2, 4, 8, 16 and 32."""


class Stage(nn.Sequential):
    """Halves the resolution and looks around: two 3x3 convolutions."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(conv_bn_relu(inputs, outputs, stride=2), conv_bn_relu(outputs, outputs))


class Join(nn.Module):
    """Brings a coarse map to the resolution of a finer one and joins both.

    Each passes a 1x1 convolution and they are added: a 1x1 convolution of their concatenation, of which the coarse part
    is computed before it is enlarged.
    """

    def __init__(self, coarse: int, fine: int) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(coarse, fine, 1, bias=False)
        self.lateral = nn.Conv2d(fine, fine, 1, bias=False)
        self.norm = nn.BatchNorm2d(fine)
        self.refine = conv_bn_relu(fine, fine)

    def forward(self, coarse: Tensor, fine: Tensor) -> Tensor:
        """Return a map of the shape of ``fine``."""
        enlarged = F.interpolate(self.reduce(coarse), size=fine.shape[-2:], mode="bilinear", align_corners=False)
        refined: Tensor = self.refine(F.relu(self.norm(enlarged + self.lateral(fine))))
        return refined


class SensorStem(nn.Module):
    """Brings one sensor to stride 2 and says how much of each output pixel it saw.

    The share of valid pixels in its 3x3 window is the weight of this sensor in the masked fusion.
    """

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.features = conv_bn_relu(channels, width, stride=2)
        self.log_weight = nn.Parameter(torch.zeros(()))

    def forward(self, image: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
        """Return features (N, width, H/2, W/2) and weights (N, 1, H/2, W/2), exactly 0 where nothing is valid."""
        # the window of the convolution, so that a feature counts exactly where it saw something
        share = F.avg_pool2d(valid, 3, stride=2, padding=1)
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

    U-Net: Ronneberger et al. 2015. Context at stride 32: pooled self-attention (Wang et al. 2018).
    """

    def __init__(self, sar_channels: int, optical_channels: int) -> None:
        super().__init__()
        w2, w4, w8, w16, w32 = WIDTHS
        self.sar_stem = SensorStem(sar_channels, w2) if sar_channels else None
        self.optical_stem = SensorStem(optical_channels, w2) if optical_channels else None
        self.pixels = PixelMixer(sar_channels + optical_channels + 2)
        self.encode2 = conv_bn_relu(w2, w2)
        self.encode4, self.encode8 = Stage(w2, w4), Stage(w4, w8)
        self.encode16, self.encode32 = Stage(w8, w16), Stage(w16, w32)
        self.context = EfficientSelfAttention(w32, reach=4)
        self.join16, self.join8 = Join(w32, w16), Join(w16, w8)
        self.join4, self.join2 = Join(w8, w4), Join(w4, w2)
        self.head = nn.Conv2d(w2, 2, 1)

    def forward(self, sar: Tensor, optical: Tensor, sar_valid: Tensor, optical_valid: Tensor) -> Tensor:
        """Return logits (N, 2, H, W) from standardised images (0 where invalid) and validity (N, 1, H, W) float."""
        at2 = self.encode2(self._fuse(sar, optical, sar_valid, optical_valid))
        at4 = self.encode4(at2)
        at8 = self.encode8(at4)
        at16 = self.encode16(at8)
        at32 = self.context(self.encode32(at16))
        up2 = self.join2(self.join4(self.join8(self.join16(at32, at16), at8), at4), at2)
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
        # The small constant only keeps 0 / 0 from being NaN: a weight is 0 or at least a ninth of exp(log_weight)
        total = sum((weight for _, weight in parts), start=torch.full_like(sar_valid[:1, :, :1, :1], 1e-6))
        return reduce(torch.add, (features * (weight / total) for features, weight in parts))


def lite(*, sar_channels: int = 2, optical_channels: int = 13) -> LiteFloodNet:
    """Build ``lite`` for the given numbers of bands; 0 leaves a sensor out."""
    return LiteFloodNet(sar_channels, optical_channels)
