"""Feature extractor of ``efficient``, which fuses both sensors at the stem of one encoder."""

from functools import reduce

import torch
from torch import Tensor, nn

from floodseg.errors import ConfigError
from floodseg.models.encoders.encoder import build_encoder
from floodseg.models.encoders.pretrained import Pretrained
from floodseg.models.layers.blocks import init_new_layers
from floodseg.models.networks.sensor_gate import SensorGate

STEM_CHANNELS = 3
"""Channels of each sensor at the encoder's input, the number that pretrained stems take."""

_CELL = 8
"""Side of a cell of the sensor gate in pixels."""

_MIN_TOTAL = 1e-4
"""Lower bound of the sum of weights. It avoids 0 / 0 where no sensor is valid; the smallest odds are 9e-4."""


class SensorAdapter(nn.Module):
    """1x1 convolutions from the bands of a sensor to ``STEM_CHANNELS`` for the encoder and the detail channels.

    Without batch normalisation, invalid pixels (zeros) have no effect on other pixels.
    """

    def __init__(self, bands: int, detail_channels: int, hidden_channels: int = 16) -> None:
        super().__init__()
        self.mix = nn.Conv2d(bands, hidden_channels, kernel_size=1)
        self.relu = nn.ReLU(inplace=True)
        self.out = nn.Conv2d(hidden_channels, STEM_CHANNELS + detail_channels, kernel_size=1)
        init_new_layers(self)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, bands, H, W) to (N, STEM_CHANNELS + detail_channels, H, W)."""
        adapted: Tensor = self.out(self.relu(self.mix(x)))
        return adapted


class EfficientFeatureExtractor(nn.Module):
    """One encoder for both sensors, which are fused at its stem.

    Each sensor is adapted to three channels and multiplied by its fusion weight, which is 0 at invalid pixels. The
    first convolution of the encoder takes the concatenated channels. It is linear, so its output is the weighted sum of
    the stem features of each sensor. Pretrained stem weights are copied to the channels of each sensor.

    Attributes:
        channels: channels of the features, finest first.
        strides: strides of the features in pixels, finest first.
        detail_channels: channels of the fused detail map at full resolution.
    """

    def __init__(
        self,
        encoder: str,
        sar_channels: int,
        optical_channels: int,
        pretrained: Pretrained = None,
        detail_channels: int = 8,
    ) -> None:
        super().__init__()
        if min(sar_channels, optical_channels) < 0 or sar_channels + optical_channels == 0:
            raise ConfigError(
                f"`sar_channels={sar_channels}` and `optical_channels={optical_channels}`: "
                "neither may be negative, and at least one must be above 0"
            )
        self.detail_channels = detail_channels
        bands = {"sar": sar_channels, "optical": optical_channels}
        self.adapters = nn.ModuleDict({s: SensorAdapter(n, detail_channels) for s, n in bands.items() if n > 0})
        # the weight of a single sensor is its validity
        self.gate = SensorGate(STEM_CHANNELS + detail_channels, _CELL) if len(self.adapters) > 1 else None
        self.encoder = build_encoder(encoder, STEM_CHANNELS * len(self.adapters), pretrained)
        self.channels, self.strides = self.encoder.channels, self.encoder.strides

    def forward(
        self, sar: Tensor, optical: Tensor, sar_valid: Tensor, optical_valid: Tensor
    ) -> tuple[list[Tensor], Tensor]:
        """Return the encoder's features, finest first, and the fused detail map (N, detail_channels, H, W).

        Images are (N, bands, H, W), normalised, 0 where invalid. Validity is (N, 1, H, W), 0 or 1.
        """
        images, valid = {"sar": sar, "optical": optical}, {"sar": sar_valid, "optical": optical_valid}
        adapted = [adapter(images[sensor]) for sensor, adapter in self.adapters.items()]
        weights = [valid[sensor] for sensor in self.adapters]
        if self.gate is not None:
            weights[1] = weights[1] * self.gate(*adapted).to(weights[1].dtype)
            total = (weights[0] + weights[1]).clamp(min=_MIN_TOTAL)
            weights = [weight / total for weight in weights]
        weighted = [x * weight.to(x.dtype) for x, weight in zip(adapted, weights, strict=True)]
        stem = torch.cat([x[:, :STEM_CHANNELS] for x in weighted], dim=1)
        detail = reduce(torch.add, (x[:, STEM_CHANNELS:] for x in weighted))
        return self.encoder(stem), detail
