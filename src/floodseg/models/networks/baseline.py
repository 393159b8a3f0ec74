"""``baseline``: the heavy reference for comparisons with lighter models. Its size is fixed.

::

    sar, optical -> 1x1 convolution to 3 channels each -> ResNet-50 (shared) -> x valid share -> concatenate  stride 32
        -> 1x1 convolutions to 1024, 512 -> CBAM -> ASPP -> CBAM                                              stride 32
        -> CNN branch:         up 256, up 128, up 64, up 32 -> logits -> bilinear x2                          stride 1
        -> transformer branch: up 256, up 256, self-attention, up 128, up 64, up 32 -> logits                 stride 1
        -> gate per pixel between both logits -> refinement -> crop to input size

Every ASPP branch has 512 channels. Transposed convolutions are 2x2 with stride 2. The four up-blocks of the CNN branch
end at stride 2, and their logits are interpolated to stride 1. The encoder rounds sizes up to a multiple of 32, and the
logits are cropped to the size of the input.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, scaled_dot_product_attention

from floodseg.errors import ConfigError
from floodseg.models.encoders.encoder import Encoder, build_encoder
from floodseg.models.encoders.pretrained import Pretrained, PretrainedRecord
from floodseg.models.layers.aspp import ASPP
from floodseg.models.layers.blocks import cell_means, conv_bn_relu
from floodseg.models.layers.cbam import CBAM

STRIDE = 32
CLASSES = 2


class UpBlock(nn.Sequential):
    """Stride-2 transposed convolution, then two 3x3 convolutions: (N, C_in, H, W) to (N, C_out, 2H, 2W)."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(
            nn.ConvTranspose2d(in_channels, out_channels, kernel_size=2, stride=2, bias=False),
            conv_bn_relu(out_channels, out_channels),
            conv_bn_relu(out_channels, out_channels),
        )


class FullSelfAttention(nn.Module):
    """Self-attention over all pixels, added to the input (Wang et al. 2018; Zhang et al. 2019, equations 1 to 3).

    Args:
        channels: number of channels C.
        reduction: queries and keys have C / ``reduction`` channels.
    """

    def __init__(self, channels: int, reduction: int = 8) -> None:
        super().__init__()
        self.query = nn.Conv2d(channels, channels // reduction, 1, bias=False)
        self.key = nn.Conv2d(channels, channels // reduction, 1, bias=False)
        self.value = nn.Conv2d(channels, channels, 1, bias=False)
        # not 0 as by Zhang et al., which leaves the projections without a gradient in the first step
        self.scale = nn.Parameter(torch.tensor(0.1))

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to the same shape. Cost and memory grow with the square of H * W."""
        query, key, value = (project(x).flatten(2).transpose(1, 2) for project in (self.query, self.key, self.value))
        context = scaled_dot_product_attention(query, key, value)  # (N, HW, C)
        return x + self.scale * context.transpose(1, 2).reshape(x.shape)


class AttentionGuidedFusion(nn.Module):
    """Weighted mean of the logits of two branches, and a refinement. A gate predicts the weight at each pixel.

    Args:
        hidden: channels between the two convolutions of the gate, and of the refinement.
    """

    def __init__(self, hidden: int = 16) -> None:
        super().__init__()
        self.gate = nn.Sequential(conv_bn_relu(2 * CLASSES, hidden), nn.Conv2d(hidden, 1, 1), nn.Sigmoid())
        self.refine = nn.Sequential(conv_bn_relu(CLASSES, hidden), nn.Conv2d(hidden, CLASSES, 3, padding=1))

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """Map the logits of two branches to fused logits, each (N, 2, H, W). The gate is the weight of ``first``."""
        gate = self.gate(torch.cat([first, second], dim=1))
        fused = gate * first + (1 - gate) * second
        refined: Tensor = fused + self.refine(fused)
        return refined


class BaselineFloodNet(nn.Module):
    """ResNet-50 on each sensor, CBAM and ASPP on their last features, a CNN and a transformer branch, gated fusion.

    CBAM is Woo et al. 2018, ASPP Chen et al. 2017, self-attention Wang et al. 2018 and Zhang et al. 2019.

    Both sensors pass the shared encoder in one batch, so that its batch normalisation has the statistics of both.

    Args:
        encoder: a ResNet-50 for 3 channels with features down to stride 32.
        sar_channels: number of radar bands; 0 for a model without radar.
        optical_channels: number of optical bands; 0 for a model without optical imagery.
    """

    def __init__(self, encoder: Encoder, sar_channels: int, optical_channels: int) -> None:
        super().__init__()
        sensors = {"sar": sar_channels, "optical": optical_channels}
        # no bias, so that invalid pixels stay 0
        self.adapt = nn.ModuleDict({name: nn.Conv2d(n, 3, 1, bias=False) for name, n in sensors.items() if n > 0})
        self.encoder = encoder
        self.reduce = nn.Sequential(
            conv_bn_relu(len(self.adapt) * encoder.channels[-1], 1024, kernel_size=1),
            conv_bn_relu(1024, 512, kernel_size=1),
        )
        self.context = nn.Sequential(CBAM(512), ASPP(512, 512), CBAM(512))
        self.cnn_branch = nn.Sequential(
            UpBlock(512, 256), UpBlock(256, 128), UpBlock(128, 64), UpBlock(64, 32), nn.Conv2d(32, CLASSES, 1)
        )
        self.transformer_branch = nn.Sequential(
            UpBlock(512, 256),
            UpBlock(256, 256),
            FullSelfAttention(256),
            UpBlock(256, 128),
            UpBlock(128, 64),
            UpBlock(64, 32),
            nn.Conv2d(32, CLASSES, 1),
        )
        self.fusion = AttentionGuidedFusion()

    @property
    def pretrained_record(self) -> PretrainedRecord:
        """Origin of the encoder's weights."""
        return self.encoder.pretrained_record

    def forward(self, sar: Tensor, optical: Tensor, sar_valid: Tensor, optical_valid: Tensor) -> Tensor:
        """Return logits (N, 2, H, W) for land and water; H and W are 32 or more.

        Args:
            sar: (N, C_sar, H, W) normalised, exactly 0 at invalid pixels; C_sar is 0 for a model without radar.
            optical: (N, C_optical, H, W), the same for the optical image.
            sar_valid: (N, 1, H, W) float, 1 where the radar image is valid, else 0.
            optical_valid: (N, 1, H, W), the same for the optical image.
        """
        height, width = sar_valid.shape[2:]
        features = self.encode({"sar": sar, "optical": optical}, {"sar": sar_valid, "optical": optical_valid})
        context = self.context(self.reduce(features))
        local = interpolate(self.cnn_branch(context), scale_factor=2.0, mode="bilinear", align_corners=False)
        attended = self.transformer_branch(context)
        logits: Tensor = self.fusion(local, attended)
        return logits[..., :height, :width]

    def encode(self, images: dict[str, Tensor], valid: dict[str, Tensor]) -> Tensor:
        """Return the concatenated features of the sensors: (N, 2048 per sensor, ceil(H / 32), ceil(W / 32)).

        They are multiplied by the sensor's share of valid pixels in each cell of 32x32, which is 0 for a missing
        sensor. ``images`` and ``valid`` are by sensor; the shapes are those of ``forward``.
        """
        stacked = torch.cat([adapt(images[name]) for name, adapt in self.adapt.items()])
        share = cell_means(torch.cat([valid[name] for name in self.adapt]), STRIDE)
        features: Tensor = self.encoder(stacked)[-1]  # (sensors * N, 2048, h, w)
        features = features * share.to(features.dtype)
        batch = valid["sar"].shape[0]
        return torch.cat([features[i * batch : (i + 1) * batch] for i in range(len(self.adapt))], dim=1)


def baseline(
    *,
    encoder: str = "resnet50",
    sar_channels: int = 2,
    optical_channels: int = 13,
    pretrained: Pretrained = None,
) -> BaselineFloodNet:
    """Build ``baseline``: 41 to 47 M parameters, 70 to 85 GMAC at 512x512 with 2 radar and 13 optical bands.

    Args:
        encoder: must be ``resnet50``.
        sar_channels: number of radar bands; 0 for a model without radar.
        optical_channels: number of optical bands; 0 for a model without optical imagery.
        pretrained: None or ``none``, ``auto``, ``required``, or a file of encoder weights.

    Raises:
        ConfigError: another encoder, or no band.
        CheckpointError: required weights are not available, or weights do not fit the encoder.
    """
    if encoder != "resnet50":
        raise ConfigError(f"`encoder={encoder}`: model 'baseline' always has encoder resnet50; leave it out")
    if min(sar_channels, optical_channels) < 0 or max(sar_channels, optical_channels) == 0:
        raise ConfigError(
            f"`sar_channels={sar_channels}` and `optical_channels={optical_channels}`: "
            "neither may be negative, and at least one must be above 0"
        )
    network = build_encoder(encoder, in_channels=3, pretrained=pretrained, max_stride=STRIDE)
    return BaselineFloodNet(network, sar_channels, optical_channels)
