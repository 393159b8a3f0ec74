"""Cloud detector: clouds and cloud shadows in an optical image that no mask marks.

It is a small network of its own, beside those that map water. Where sensors are fused, the features of a network are
linear in the images, and no linear function separates a thin cloud from bright ground; and a network that shares its
features with a cloud detector maps water worse.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_STRIDE = 4
"""Pixels a side of one feature: clouds are larger, and the cost is a sixteenth."""
_DILATIONS = (1, 2, 4)
"""Dilations of the 3x3 layers; with the first layer the receptive field is 61 pixels."""


class CloudDetector(nn.Module):
    """Predicts at each pixel whether the optical image shows a cloud or a cloud shadow instead of the ground.

    ``logit_offset`` () float32 is added to the calibrated logit difference of SAR alone under clouds, so that the
    decision for both sensors gives there what the decision for SAR alone gives; 0 until the model is calibrated.

    Args:
        sar_channels: channels of the SAR image, which separates bright ground from clouds.
        optical_channels: channels of the optical image.
        hidden: channels of each layer.
    """

    def __init__(self, sar_channels: int, optical_channels: int, hidden: int = 16) -> None:
        super().__init__()
        # both images and their validity
        self.first = nn.Conv2d(sar_channels + optical_channels + 2, hidden, 5, stride=_STRIDE, padding=2)
        self.around = nn.ModuleList(nn.Conv2d(hidden, hidden, 3, padding=d, dilation=d) for d in _DILATIONS)
        self.head = nn.Conv2d(hidden, 1, 1)
        self.logit_offset: Tensor
        self.register_buffer("logit_offset", torch.zeros(()))

    def forward(self, sar: Tensor, optical: Tensor, sar_valid: Tensor, optical_valid: Tensor) -> Tensor:
        """Return the log-odds of cloud or shadow, (N, 1, H, W), from normalised images (0 where invalid) and validity.

        Images are (N, C, H, W), validity (N, 1, H, W) as numbers, 0 or 1.
        """
        features = F.relu(self.first(torch.cat((sar, optical, sar_valid, optical_valid), dim=1)))
        for layer in self.around:
            features = features + F.relu(layer(features))
        return F.interpolate(self.head(features), size=sar.shape[-2:], mode="bilinear", align_corners=False)

    def cloud_probability(self, sar: Tensor, optical: Tensor, sar_valid: Tensor, optical_valid: Tensor) -> Tensor:
        """Return the probability of cloud or shadow, (N, 1, H, W) float32, exactly 0 unless both sensors are valid.

        Arguments are those of ``forward``.
        """
        probability = torch.sigmoid(self(sar, optical, sar_valid, optical_valid).float())
        return probability * (sar_valid * optical_valid)

    def blend(self, selected: Tensor, sar: Tensor, cloud_probability: Tensor) -> Tensor:
        """Return logits (N, 2, H, W) float32 that fall back to SAR by the probability of a cloud.

        Args:
            selected: logits (N, 2, H, W) for land and water, of the sensors that are valid.
            sar: calibrated logits of SAR alone, (N, 2, H, W).
            cloud_probability: (N, 1, H, W), as :meth:`cloud_probability` returns it.
        """
        half = torch.stack((-self.logit_offset, self.logit_offset))[:, None, None] / 2
        return torch.lerp(selected.float(), sar.float() + half, cloud_probability)


def fall_back_to_sar(weights: Tensor, cloud_probability: Tensor) -> Tensor:
    """Return the weights of SAR and optical image (N, 2, H, W) after the share under clouds is moved to SAR.

    ``cloud_probability`` is (N, 1, H, W), 0 to 1.
    """
    sar, optical = weights.chunk(2, dim=1)
    moved = optical * cloud_probability
    return torch.cat((sar + moved, optical - moved), dim=1)
