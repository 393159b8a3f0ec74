"""``lite``: a small U-shaped network for the CPU, below one million parameters."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from floodseg.models.layers.attention import EfficientSelfAttention
from floodseg.models.layers.blocks import conv_bn_relu
from floodseg.models.networks.sensor_weights import SensorGate, fusion_weights, optical_odds

_LEAST_TOTAL = 1e-5
"""Less than the least weighted share of a pixel: a ninth of it is valid in a sensor at the bound of the odds."""
_CELL = 4
"""Pixels of stride 2 a side of the cells of the sensor gate."""

WIDTHS = (16, 32, 96, 112, 144)
"""Channels at strides 2, 4, 8, 16 and 32: few at fine strides, which take most of the time."""


class Stage(nn.Sequential):
    """Two 3x3 convolutions, the first with stride 2."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(conv_bn_relu(inputs, outputs, stride=2), conv_bn_relu(outputs, outputs))


class Join(nn.Module):
    """Brings a coarse map to the resolution of a finer one and joins both.

    Each passes a 1x1 convolution and they are added, which is a 1x1 convolution of their concatenation; the coarse part
    is computed before it is enlarged.
    """

    def __init__(self, coarse: int, fine: int) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(coarse, fine, 1, bias=False)
        self.lateral = nn.Conv2d(fine, fine, 1, bias=False)
        self.norm = nn.BatchNorm2d(fine)

    def forward(self, coarse: Tensor, fine: Tensor) -> Tensor:
        """Return a map of the shape of ``fine``."""
        enlarged = F.interpolate(self.reduce(coarse), size=fine.shape[-2:], mode="bilinear", align_corners=False)
        return F.relu(self.norm(enlarged.add_(self.lateral(fine))), inplace=True)


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
    """Brings all sensors to stride 2 as a weighted mean over valid pixels: partial convolutions (Liu et al. 2018).

    Each sensor's 3x3 convolution has no bias, so that invalid pixels (zeros) add nothing, and is divided by the share
    of valid pixels in its window. The weight of a sensor is proportional to that share and to its odds by the sensor
    gate (:mod:`floodseg.models.networks.sensor_weights`): a missing sensor has none. With shares a and b, odds e of the
    optical image and the sums F and G over valid pixels that the convolutions return, the mean
    (a F / a + b e G / b) / (a + b e) is (F + e G) / (a + b e).
    """

    def __init__(self, sar_channels: int, optical_channels: int, width: int) -> None:
        super().__init__()
        self.sar = _stem(sar_channels, width) if sar_channels else None
        self.optical = _stem(optical_channels, width) if optical_channels else None
        self.gate = SensorGate(width, _CELL) if sar_channels and optical_channels else None
        self.norm = nn.BatchNorm2d(width)

    def forward(
        self, sar: Tensor, optical: Tensor, sar_valid: Tensor, optical_valid: Tensor
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Return features, the largest share of valid pixels of any sensor, and the gate's log-odds.

        Features are (N, width, H/2, W/2); shares and log-odds of the optical image (N, 1, H/2, W/2). Log-odds are None
        for a single sensor.
        """
        mean, shares, log_odds = self.mean(sar, optical, sar_valid, optical_valid)
        normed: Tensor = self.norm(mean)
        return F.relu(normed, inplace=True), shares.amax(dim=1, keepdim=True), log_odds

    def mean(
        self, sar: Tensor, optical: Tensor, sar_valid: Tensor, optical_valid: Tensor
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Return the weighted mean of the sensors' features, each sensor's share of valid pixels, and log-odds.

        The mean (N, width, H/2, W/2) is 0 where no pixel is valid; shares are (N, S, H/2, W/2); log-odds are those of
        ``forward``.
        """
        features, shares, log_odds = self._sensor_features(sar, optical, sar_valid, optical_valid)
        total, weight = features[0], shares
        if log_odds is not None:
            odds = optical_odds(log_odds)
            total = torch.addcmul(total, features[1], odds)
            weight = torch.addcmul(shares[:, :1], shares[:, 1:], odds)
        # the bound only avoids 0 / 0
        return total * weight.clamp(min=_LEAST_TOTAL).reciprocal().to(total.dtype), shares, log_odds

    def sensor_weights(self, sar: Tensor, optical: Tensor, sar_valid: Tensor, optical_valid: Tensor) -> Tensor:
        """Return the weights of SAR and optical image (N, 2, H, W); arguments as in ``forward``.

        The log-odds of stride 2 are interpolated to the size of the input and applied to the validity of each pixel.
        """
        _, _, log_odds = self._sensor_features(sar, optical, sar_valid, optical_valid)
        assert log_odds is not None, "FloodModel calls this for models of both sensors only"
        return fusion_weights(_enlarged(log_odds, sar), torch.cat((sar_valid, optical_valid), dim=1))

    def _sensor_features(
        self, sar: Tensor, optical: Tensor, sar_valid: Tensor, optical_valid: Tensor
    ) -> tuple[list[Tensor], Tensor, Tensor | None]:
        """Return the features of each sensor, the shares of valid pixels (N, S, H/2, W/2), and log-odds of the gate."""
        sensors = ((self.sar, sar, sar_valid), (self.optical, optical, optical_valid))
        present = [(stem(image), _share(valid)) for stem, image, valid in sensors if stem is not None]
        features, shares = [each for each, _ in present], torch.cat([share for _, share in present], dim=1)
        return features, shares, None if self.gate is None else self.gate(*features)


def _enlarged(log_odds: Tensor, like: Tensor) -> Tensor:
    return F.interpolate(log_odds, size=like.shape[-2:], mode="bilinear", align_corners=False)


def _stem(channels: int, width: int) -> nn.Conv2d:
    return nn.Conv2d(channels, width, 3, stride=2, padding=1, bias=False)


def _share(valid: Tensor) -> Tensor:
    """Return the share of valid pixels in the window of the stem's convolution (N, 1, H/2, W/2)."""
    return F.avg_pool2d(valid, 3, stride=2, padding=1)


def _valid_at_stride_32(share: Tensor) -> Tensor:
    """Return (N, 1, H/32, W/32), above 0 where any pixel is valid, from the valid share (N, 1, H/2, W/2)."""
    for _ in WIDTHS[1:]:
        # the window and stride of the convolutions, so that sizes agree
        share = F.max_pool2d(share, 3, stride=2, padding=1)
    return share


class SubpixelHead(nn.Conv2d):
    """Logits at twice the resolution: four sets of them for each pixel, rearranged to 2x2 pixels (Shi et al. 2016).

    Its initial weights are a 1x1 convolution with bilinear interpolation, so that maps are smooth before edges are
    learned.
    """

    def __init__(self, channels: int, classes: int = 2) -> None:
        super().__init__(channels, 4 * classes, 3, padding=1)
        mixed = torch.randn(classes, channels) * channels**-0.5
        near = torch.tensor([[0.25, 0.75, 0.0], [0.0, 0.75, 0.25]])
        bilinear = torch.einsum("cd,ax,by->cabdxy", mixed, near, near)
        with torch.no_grad():
            self.weight.copy_(bilinear.reshape(self.weight.shape))
            assert self.bias is not None
            self.bias.zero_()

    def forward(self, features: Tensor) -> Tensor:
        """Map (N, channels, H, W) to logits (N, classes, 2 H, 2 W)."""
        return F.pixel_shuffle(super().forward(features), 2)


class LiteFloodNet(nn.Module):
    """One masked stem for both sensors, a narrow U-Net with context, and logits for four pixels at once.

    U-Net: Ronneberger et al. 2015. Context at stride 32: self-attention over valid tokens (Wang et al. 2018). Only the
    normalisation of the input works at full resolution, where a layer costs more than all layers of stride 8 and
    coarser together.
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
        """Return logits (N, 2, H, W) from standardised images (0 where invalid) and validity (N, 1, H, W) float."""
        return self._forward(sar, optical, sar_valid, optical_valid)[0]

    def forward_with_gate(
        self, sar: Tensor, optical: Tensor, sar_valid: Tensor, optical_valid: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return logits as ``forward`` does, and the log-odds of the optical image, (N, 1, H, W), of two sensors."""
        logits, log_odds = self._forward(sar, optical, sar_valid, optical_valid)
        assert log_odds is not None, "FloodModel calls this for models of both sensors only"
        return logits, _enlarged(log_odds, sar)

    def _forward(
        self, sar: Tensor, optical: Tensor, sar_valid: Tensor, optical_valid: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        """Return logits, and the log-odds of the gate at stride 2."""
        at2, share, log_odds = self.stem(sar, optical, sar_valid, optical_valid)
        at4 = self.encode4(at2)
        at8 = self.encode8(at4)
        at16 = self.encode16(at8)
        at32 = self.context(self.encode32(at16), _valid_at_stride_32(share))
        up2 = self.join2(self.join4(self.join8(self.join16(at32, at16), at8), at4), at2)
        logits: Tensor = self.head(up2)
        # an odd side has one pixel too many; negative padding, because the exporter cannot prove that H rows can be
        # sliced from 2 * ceil(H / 2)
        fitted = F.pad(logits, (0, sar.shape[-1] - logits.shape[-1], 0, sar.shape[-2] - logits.shape[-2]))
        return fitted, log_odds

    def sensor_weights(self, sar: Tensor, optical: Tensor, sar_valid: Tensor, optical_valid: Tensor) -> Tensor:
        """Return the fusion weights of SAR and optical image, (N, 2, H, W); arguments as in ``forward``."""
        return self.stem.sensor_weights(sar, optical, sar_valid, optical_valid)


def lite(*, sar_channels: int = 2, optical_channels: int = 13) -> LiteFloodNet:
    """Build ``lite`` for these numbers of bands; 0 leaves a sensor out."""
    return LiteFloodNet(sar_channels, optical_channels)
