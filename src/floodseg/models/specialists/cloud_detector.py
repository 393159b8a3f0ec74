"""Cloud detector for clouds and cloud shadows that the cloud mask of an optical image misses.

It is a separate small network. The sensors are fused at features that are linear in the images, and no linear function
separates a thin cloud from bright ground. A network that shares its features with a cloud detector maps water worse.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from floodseg.models.layers.blocks import upsample

_STRIDE = 4
"""Stride of the features in pixels. Clouds are larger, and the cost is a sixteenth of that at full resolution."""
_DILATIONS = (1, 2, 4)
"""Dilations of the 3x3 layers. With the first layer the receptive field is 61 pixels."""


class CloudDetector(nn.Module):
    """Predicts the log-odds that a pixel of the optical image shows a cloud or a cloud shadow.

    ``logit_offset`` () float32 is added to the calibrated logit difference of the radar specialist under clouds. The
    decision for both sensors then equals the decision for radar. It is 0 until the model is calibrated.

    Args:
        sar_channels: channels of the radar image, which separates bright ground from clouds.
        optical_channels: channels of the optical image.
        hidden: channels of each layer.
    """

    def __init__(self, sar_channels: int, optical_channels: int, hidden: int = 16) -> None:
        super().__init__()
        # 2: the validity of both sensors
        self.first = nn.Conv2d(sar_channels + optical_channels + 2, hidden, 5, stride=_STRIDE, padding=2)
        self.around = nn.ModuleList(nn.Conv2d(hidden, hidden, 3, padding=d, dilation=d) for d in _DILATIONS)
        self.head = nn.Conv2d(hidden, 1, 1)
        self.logit_offset: Tensor
        self.register_buffer("logit_offset", torch.zeros(()))

    def forward(self, sar: Tensor, optical: Tensor, sar_valid: Tensor, optical_valid: Tensor) -> Tensor:
        """Return the log-odds of cloud or shadow, (N, 1, H, W).

        Images are (N, C, H, W), normalised, 0 where invalid. Validity is (N, 1, H, W) float, 0 or 1.
        """
        features = F.relu(self.first(torch.cat((sar, optical, sar_valid, optical_valid), dim=1)))
        for layer in self.around:
            features = features + F.relu(layer(features))
        return upsample(self.head(features), sar.shape[-2:])

    def cloud_probability(self, sar: Tensor, optical: Tensor, sar_valid: Tensor, optical_valid: Tensor) -> Tensor:
        """Return the probability of cloud or shadow, (N, 1, H, W) float32.

        It is exactly 0 at pixels where a sensor is invalid. Arguments are those of ``forward``.
        """
        probability = torch.sigmoid(self(sar, optical, sar_valid, optical_valid).float())
        return probability * (sar_valid * optical_valid)

    def blend(self, selected: Tensor, sar: Tensor, cloud_probability: Tensor) -> Tensor:
        """Blend the logits of the router with those of the radar specialist by cloud probability, (N, 2, H, W) float32.

        Args:
            selected: logits (N, 2, H, W) from the router, for land and water.
            sar: calibrated logits (N, 2, H, W) of the radar specialist.
            cloud_probability: (N, 1, H, W), the result of :meth:`cloud_probability`.
        """
        half = torch.stack((-self.logit_offset, self.logit_offset))[:, None, None] / 2
        return torch.lerp(selected.float(), sar.float() + half, cloud_probability)


def fall_back_to_sar(weights: Tensor, cloud_probability: Tensor) -> Tensor:
    """Move a share of the optical weight, the cloud probability, to the weight of radar.

    ``weights`` (N, 2, H, W) are those of radar and optical image. ``cloud_probability`` is (N, 1, H, W), 0 to 1.
    """
    sar, optical = weights.chunk(2, dim=1)
    moved = optical * cloud_probability
    return torch.cat((sar + moved, optical - moved), dim=1)
