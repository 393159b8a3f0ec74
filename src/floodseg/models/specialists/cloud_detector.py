"""Where an optical image that passes for valid shows no ground, but a cloud or its shadow that no mask marks.

A small network of its own, beside those that map water. Features of a fused network are linear in the images where
sensors are merged, and nothing linear tells a veil of cloud from bright ground; and a network that shares its features
with the search for clouds maps water worse.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_STRIDE = 4
"""Pixels a side of what is taken for one: clouds are larger, and it costs a sixteenth."""
_DILATIONS = (1, 2, 4)
"""Of the layers that look around: with the first they see 61 pixels a side."""


class CloudJudge(nn.Module):
    """Predicts at each pixel whether the optical image shows something else than the ground.

    ``shift`` () float32 is what a calibrated margin of radar alone needs more for the decision for both to decide it
    as that for radar does; 0 until the model is calibrated.

    Args:
        sar_channels: of the radar image, which tells bright ground from cloud.
        optical_channels: of the optical image.
    """

    def __init__(self, sar_channels: int, optical_channels: int, hidden: int = 16) -> None:
        super().__init__()
        # both images and what of them is valid
        self.first = nn.Conv2d(sar_channels + optical_channels + 2, hidden, 5, stride=_STRIDE, padding=2)
        self.around = nn.ModuleList(nn.Conv2d(hidden, hidden, 3, padding=d, dilation=d) for d in _DILATIONS)
        self.judge = nn.Conv2d(hidden, 1, 1)
        self.shift: Tensor
        self.register_buffer("shift", torch.zeros(()))

    def forward(self, sar: Tensor, optical: Tensor, sar_valid: Tensor, optical_valid: Tensor) -> Tensor:
        """Return log odds of cloud or shadow, (N, 1, H, W), from standardised images (0 where invalid) and validity."""
        seen = F.relu(self.first(torch.cat((sar, optical, sar_valid, optical_valid), dim=1)))
        for layer in self.around:
            seen = seen + F.relu(layer(seen))
        return F.interpolate(self.judge(seen), size=sar.shape[-2:], mode="bilinear", align_corners=False)

    def covered(self, sar: Tensor, optical: Tensor, sar_valid: Tensor, optical_valid: Tensor) -> Tensor:
        """Return the probability of cloud or shadow, (N, 1, H, W) float32, exactly 0 but where both sensors are valid.

        Arguments are those of ``forward``.
        """
        probability = torch.sigmoid(self(sar, optical, sar_valid, optical_valid).float())
        return probability * (sar_valid * optical_valid)

    def mixed(self, routed: Tensor, radar: Tensor, covered: Tensor) -> Tensor:
        """Return the margin (N, 1, H, W) float32 of what is seen, as radar alone decides it where that is covered.

        Args:
            routed: margin of what is valid, (N, 1, H, W).
            radar: calibrated margin of radar alone, (N, 1, H, W).
            covered: probability of cloud or shadow, see :meth:`covered`.
        """
        return torch.lerp(routed.float(), radar.float() + self.shift, covered)

    def mixed_logits(self, routed: Tensor, radar: Tensor, covered: Tensor) -> Tensor:
        """Return what :meth:`mixed` does of logits (N, 2, H, W) for land and water, of which each moves by half."""
        half = torch.stack((-self.shift, self.shift))[:, None, None] / 2
        return torch.lerp(routed.float(), radar.float() + half, covered)


def left_to_radar(weights: Tensor, covered: Tensor) -> Tensor:
    """Return the weights of radar and optical image (N, 2, H, W), the share ``covered`` (N, 1, H, W) left to radar."""
    radar, optical = weights.chunk(2, dim=1)
    moved = optical * covered
    return torch.cat((radar + moved, optical - moved), dim=1)
