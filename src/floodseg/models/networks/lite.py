"""``lite``: a small U-Net for the CPU with fewer than one million parameters."""

from functools import reduce

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from floodseg.models.layers.attention import EfficientSelfAttention
from floodseg.models.layers.blocks import conv_bn_relu, upsample
from floodseg.models.networks.sensor_gate import SensorGate

_MIN_WEIGHT = 1e-5
"""Lower bound of the sum of weights. It avoids 0 / 0 where no pixel is valid; all other sums are larger."""
_CELL = 4
"""Side of a cell of the sensor gate in pixels at stride 2."""

WIDTHS = (16, 32, 96, 112, 144)
"""Channels at strides 2, 4, 8, 16 and 32. Fine strides, which take most of the time, have few."""


class Stage(nn.Sequential):
    """Two 3x3 convolutions, the first with stride 2."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(conv_bn_relu(inputs, outputs, stride=2), conv_bn_relu(outputs, outputs))


class Join(nn.Module):
    """Upsamples a coarse feature map to the resolution of a finer one and adds both.

    Each map has its own 1x1 convolution, and the results are added. This equals one 1x1 convolution of the concatenated
    maps. The coarse map is convolved before it is upsampled, which is faster.
    """

    def __init__(self, coarse: int, fine: int) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(coarse, fine, 1, bias=False)
        self.lateral = nn.Conv2d(fine, fine, 1, bias=False)
        self.norm = nn.BatchNorm2d(fine)

    def forward(self, coarse: Tensor, fine: Tensor) -> Tensor:
        """Return a map of the shape of ``fine``."""
        return F.relu(self.norm(upsample(self.reduce(coarse), fine.shape[-2:]).add_(self.lateral(fine))), inplace=True)


class RefinedJoin(nn.ModuleList):
    """A join and a 3x3 convolution."""

    def __init__(self, coarse: int, fine: int) -> None:
        super().__init__([Join(coarse, fine), conv_bn_relu(fine, fine)])

    def forward(self, coarse: Tensor, fine: Tensor) -> Tensor:
        """Return a map of the shape of ``fine``."""
        join, refine = self
        refined: Tensor = refine(join(coarse, fine))
        return refined


class MaskedStem(nn.Module):
    """Fuses the sensors at stride 2 by partial convolutions over valid pixels (Liu et al. 2018).

    The feature of a sensor is a 3x3 convolution, divided by the share of valid pixels in its window. The convolution
    has no bias, so invalid pixels (zeros) add nothing. The result is a weighted mean over the sensors. The weight of a
    sensor is its share of valid pixels times its odds from the sensor gate
    (:mod:`floodseg.models.networks.sensor_gate`), and 0 for a missing sensor.

    With convolutions F (radar) and G (optical), shares a and b of valid pixels and odds e of the optical image, the
    mean (a F / a + b e G / b) / (a + b e) equals (F + e G) / (a + b e).
    """

    def __init__(self, sar_channels: int, optical_channels: int, width: int) -> None:
        super().__init__()
        self.sar = _stem(sar_channels, width) if sar_channels else None
        self.optical = _stem(optical_channels, width) if optical_channels else None
        self.gate = SensorGate(width, _CELL) if sar_channels and optical_channels else None
        self.norm = nn.BatchNorm2d(width)

    def forward(self, sar: Tensor, optical: Tensor, sar_valid: Tensor, optical_valid: Tensor) -> tuple[Tensor, Tensor]:
        """Return features (N, width, H/2, W/2), and the larger share of valid pixels (N, 1, H/2, W/2)."""
        normed: Tensor = self.norm(self.mean(sar, optical, sar_valid, optical_valid))
        shares = [_valid_share(valid) for stem, valid in ((self.sar, sar_valid), (self.optical, optical_valid)) if stem]
        return F.relu(normed, inplace=True), reduce(torch.maximum, shares)

    def mean(self, sar: Tensor, optical: Tensor, sar_valid: Tensor, optical_valid: Tensor) -> Tensor:
        """Return the weighted mean of the features (N, width, H/2, W/2), 0 where no pixel is valid."""
        sensors = ((self.sar, sar, sar_valid), (self.optical, optical, optical_valid))
        present = [(stem(image), _valid_share(valid)) for stem, image, valid in sensors if stem is not None]
        total, weight = present[0]
        if self.gate is not None:
            (total, weight), (optical_feature, optical_share) = present
            odds = self.gate(total, optical_feature)
            total = torch.addcmul(total, optical_feature, odds)
            weight = torch.addcmul(weight, optical_share, odds)
        mean: Tensor = total * weight.clamp(min=_MIN_WEIGHT).reciprocal().to(total.dtype)
        return mean


def _stem(channels: int, width: int) -> nn.Conv2d:
    return nn.Conv2d(channels, width, 3, stride=2, padding=1, bias=False)


def _valid_share(valid: Tensor) -> Tensor:
    """Return the share of valid pixels in the window of the stem's convolution, (N, 1, H/2, W/2)."""
    return F.avg_pool2d(valid, 3, stride=2, padding=1)


def _valid_at_stride_32(share: Tensor) -> Tensor:
    """Return (N, 1, H/32, W/32), above 0 where any pixel is valid, from the share of valid pixels (N, 1, H/2, W/2)."""
    for _ in WIDTHS[1:]:
        # the window and stride of the convolutions, so that the sizes are equal
        share = F.max_pool2d(share, 3, stride=2, padding=1)
    return share


class SubpixelHead(nn.Conv2d):
    """Logits at twice the resolution: a convolution predicts the logits of 2x2 pixels at once (Shi et al. 2016).

    The initial weights are those of a 1x1 convolution and bilinear interpolation, so that untrained maps are smooth.
    """

    def __init__(self, channels: int, classes: int = 2) -> None:
        super().__init__(channels, 4 * classes, 3, padding=1)
        pixelwise = torch.randn(classes, channels) * channels**-0.5
        bilinear = torch.tensor([[0.25, 0.75, 0.0], [0.0, 0.75, 0.25]])
        weight = torch.einsum("cd,ax,by->cabdxy", pixelwise, bilinear, bilinear)
        with torch.no_grad():
            self.weight.copy_(weight.reshape(self.weight.shape))
            assert self.bias is not None
            self.bias.zero_()

    def forward(self, features: Tensor) -> Tensor:
        """Map (N, channels, H, W) to logits (N, classes, 2 H, 2 W)."""
        return F.pixel_shuffle(super().forward(features), 2)


class LiteFloodNet(nn.Module):
    """One masked stem for both sensors, a narrow U-Net with self-attention, and a subpixel head.

    U-Net: Ronneberger et al. 2015. Self-attention over valid tokens at stride 32: Wang et al. 2018. No layer works at
    full resolution: it would cost more than all layers of stride 8 and coarser together.
    """

    def __init__(self, sar_channels: int, optical_channels: int) -> None:
        super().__init__()
        w2, w4, w8, w16, w32 = WIDTHS
        self.stem = MaskedStem(sar_channels, optical_channels, w2)
        self.encode4, self.encode8 = Stage(w2, w4), Stage(w4, w8)
        self.encode16, self.encode32 = Stage(w8, w16), Stage(w16, w32)
        self.context = EfficientSelfAttention(w32, max_tokens_side=64, radius=4)
        self.join16, self.join8 = RefinedJoin(w32, w16), RefinedJoin(w16, w8)
        self.join4, self.join2 = RefinedJoin(w8, w4), Join(w4, w2)
        self.head = SubpixelHead(w2)

    def forward(self, sar: Tensor, optical: Tensor, sar_valid: Tensor, optical_valid: Tensor) -> Tensor:
        """Return logits (N, 2, H, W) from normalised images (0 where invalid) and validity (N, 1, H, W) float."""
        at2, share = self.stem(sar, optical, sar_valid, optical_valid)
        at4 = self.encode4(at2)
        at8 = self.encode8(at4)
        at16 = self.encode16(at8)
        at32 = self.context(self.encode32(at16), _valid_at_stride_32(share))
        up2 = self.join2(self.join4(self.join8(self.join16(at32, at16), at8), at4), at2)
        logits: Tensor = self.head(up2)
        # crops the extra pixel of an odd side, by negative padding, because the exporter refuses a slice
        return F.pad(logits, (0, sar.shape[-1] - logits.shape[-1], 0, sar.shape[-2] - logits.shape[-2]))


def lite(*, sar_channels: int = 2, optical_channels: int = 13) -> LiteFloodNet:
    """Build ``lite`` for these numbers of bands; 0 for a model without the sensor."""
    return LiteFloodNet(sar_channels, optical_channels)
