"""``efficient``: one light encoder for both sensors, which are fused at its stem, and a dual-branch decoder."""

from torch import Tensor, nn

from floodseg.models.encoders.pretrained import Pretrained, PretrainedRecord
from floodseg.models.networks.decoder import EfficientDualBranchDecoder
from floodseg.models.networks.fusion import EfficientFeatureExtractor


class EfficientFloodNet(nn.Module):
    """Water segmentation from normalised radar, optical imagery or both.

    ::

        sar ──── 1x1 ──┐                        ┌─ CNN branch, skip from every stage ──┐
                  masked fusion ── one encoder ─┤                                 alpha-weighted sum ── refine ── logits
        optical ─ 1x1 ─┤                        └─ transformer branch ─────────────────┘                  │
                       └──────────────────── detail at full resolution ──────────────────────────────────┘

    Attributes:
        pretrained_record: origin of the encoder's weights.
    """

    def __init__(self, encoder: str, sar_channels: int, optical_channels: int, pretrained: Pretrained = None) -> None:
        super().__init__()
        self.extractor = EfficientFeatureExtractor(encoder, sar_channels, optical_channels, pretrained)
        self.decoder = EfficientDualBranchDecoder(
            self.extractor.channels, self.extractor.strides, self.extractor.detail_channels
        )
        self.pretrained_record: PretrainedRecord = self.extractor.encoder.pretrained_record

    def forward(self, sar: Tensor, optical: Tensor, sar_valid: Tensor, optical_valid: Tensor) -> Tensor:
        """Return logits (N, 2, H, W) for land and water.

        Args:
            sar: (N, sar_channels, H, W) normalised, 0 where invalid.
            optical: (N, optical_channels, H, W) normalised, 0 where invalid.
            sar_valid: (N, 1, H, W) float, 1 where the radar image is valid, else 0.
            optical_valid: (N, 1, H, W), the same for the optical image.
        """
        features, detail = self.extractor(sar, optical, sar_valid, optical_valid)
        logits: Tensor = self.decoder(features, detail)
        return logits


def efficient(
    *,
    encoder: str = "resnet34",
    sar_channels: int = 2,
    optical_channels: int = 13,
    pretrained: Pretrained = None,
) -> EfficientFloodNet:
    """Build ``efficient``.

    Args:
        encoder: any timm encoder with ``features_only`` support.
        sar_channels: number of radar bands; 0 for a model without radar.
        optical_channels: number of optical bands; 0 for a model without optical imagery.
        pretrained: ``auto``, ``required``, ``none`` (or None), or a file of encoder weights.

    Raises:
        ConfigError: an unknown or unusable encoder, or no band.
        CheckpointError: required weights are not available, or weights do not fit the encoder.
    """
    return EfficientFloodNet(encoder, sar_channels, optical_channels, pretrained)
