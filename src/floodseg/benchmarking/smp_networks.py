"""Networks of segmentation_models_pytorch with the inputs, normalisation and output of floodseg models."""

import segmentation_models_pytorch as smp
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from floodseg.bands import L1C_BANDS, SAR_BANDS, Bands
from floodseg.benchmarking.rows import SMP_ENCODER, SmpName
from floodseg.models.model import FloodModel, ModelSpec

_NETWORKS = {"smp-unet": smp.Unet, "smp-deeplabv3plus": smp.DeepLabV3Plus}


class SmpNetwork(nn.Module):
    """Network whose input image has the bands of both sensors as channels, padded to a multiple of 32 pixels."""

    def __init__(self, name: SmpName, channels: int) -> None:
        super().__init__()
        self.network: nn.Module = _NETWORKS[name](SMP_ENCODER, encoder_weights=None, in_channels=channels, classes=2)

    def forward(self, sar: Tensor, optical: Tensor, sar_valid: Tensor, optical_valid: Tensor) -> Tensor:
        """Return logits (N, 2, H, W). The validity masks are not used; invalid pixels are zero in the images."""
        image = torch.cat((sar, optical), dim=1)
        height, width = image.shape[-2:]
        padded = F.pad(image, (0, -width % 32, 0, -height % 32)) if height % 32 or width % 32 else image
        logits: Tensor = self.network(padded)
        return logits[..., :height, :width]


def build_smp_model(name: SmpName) -> FloodModel:
    """Build a network of segmentation_models_pytorch for all bands of both sensors, with random weights."""
    bands = Bands(sar=SAR_BANDS, optical=L1C_BANDS)
    network = SmpNetwork(name, len(bands.sar) + len(bands.optical))
    return FloodModel(network, ModelSpec(name, SMP_ENCODER, bands))
