"""Cloud detector for clouds and cloud shadows that the cloud mask of an optical image misses.

It is a separate small network. The fused model combines the sensors at features that are linear in the images, and no
linear function separates a thin cloud from bright ground. A network that shares its features with a cloud detector maps
water worse.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from floodseg.models.inputs import Inputs
from floodseg.models.layers.blocks import upsample

_STRIDE = 4
"""Stride of the features in pixels. Clouds are larger, and the cost is a sixteenth of that at full resolution."""
_DILATIONS = (1, 2, 4)
"""Dilations of the 3x3 layers. With the first layer the receptive field is 61 pixels."""


class CloudDetector(nn.Module):
    """Predicts the log-odds that a pixel of the optical image shows a cloud or a cloud shadow.

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

    def forward(self, inputs: Inputs) -> Tensor:
        """Return the log-odds of cloud or shadow, (N, 1, H, W), from normalised images and their validity."""
        features = F.relu(self.first(torch.cat(inputs, dim=1)))
        for layer in self.around:
            features = features + F.relu(layer(features))
        return upsample(self.head(features), inputs.sar.shape[-2:])
