"""How far each sensor is believed at each pixel: weights that the network predicts from what the sensors show.

A cloud mask may miss cloud. What lies under it then passes for valid, and a fixed weight would mix it in like the rest;
a weight that is predicted from the pixels themselves can leave such a place to the other sensor.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_FIRST_WEIGHTS = 0.01
"""Standard deviation of the first weights: fusion begins nearly even, and every layer has a gradient."""

LARGEST_LOG_ODDS = 7.0
"""Bound of the log odds: 1097 to 1 leave a sensor next to nothing, and a ninth of 1 to 1097 is a normal number still in
half precision."""

_STRIDE = 4
"""Pixels a side of what the look at the surroundings takes for one: clouds are larger, and it costs a sixteenth."""
_DILATIONS = (1, 2, 4)
"""Of the layers that look around: together they see some 70 pixels a side."""


class SensorReliability(nn.Module):
    """Predicts how much more the optical image is believed than the radar: the logarithm of the odds at each pixel.

    A small network of its own looks at both images at a quarter of their resolution. The features that are fused are
    linear in the images, and nothing linear tells a veil of cloud from bright ground: it shows in how bands, dates and
    sensors go together over some distance. It shares nothing with the network that maps water, which would
    otherwise be bent toward finding clouds.

    Args:
        sar_channels: of the radar image.
        optical_channels: of the optical image.

    Attributes:
        weighs: whether the features of both sensors are weighted by it. Not so beside specialists, of which that of
            radar answers where the optical image is not believed: a fused network that has to map by radar there pays
            for it everywhere.
    """

    def __init__(self, sar_channels: int, optical_channels: int, hidden: int = 16) -> None:
        super().__init__()
        self.weighs = True
        # both images and what of them is valid
        self.first = nn.Conv2d(sar_channels + optical_channels + 2, hidden, 5, stride=_STRIDE, padding=2)
        self.around = nn.ModuleList(nn.Conv2d(hidden, hidden, 3, padding=d, dilation=d) for d in _DILATIONS)
        self.judge = nn.Conv2d(hidden, 1, 1)
        nn.init.normal_(self.judge.weight, std=_FIRST_WEIGHTS)
        assert self.judge.bias is not None
        nn.init.zeros_(self.judge.bias)

    def forward(
        self, sar: Tensor, optical: Tensor, sar_valid: Tensor, optical_valid: Tensor, size: Sequence[int]
    ) -> Tensor:
        """Map standardised images (0 where invalid) and validity, each (N, C, H, W), to log odds (N, 1, *size)."""
        seen = F.relu(self.first(torch.cat((sar, optical, sar_valid, optical_valid), dim=1)))
        for layer in self.around:
            seen = seen + F.relu(layer(seen))
        return F.interpolate(self.judge(seen), size=tuple(size), mode="bilinear", align_corners=False)

    def for_features(self, log_odds: Tensor) -> Tensor:
        """Return the log odds by which features are weighted: those given, or 0."""
        return log_odds if self.weighs else torch.zeros_like(log_odds)


def odds_of(log_odds: Tensor) -> Tensor:
    """Return the odds of the optical image, finite and above 0 whatever the network says."""
    return log_odds.clamp(-LARGEST_LOG_ODDS, LARGEST_LOG_ODDS).exp()


def shared_out(log_odds: Tensor, share: Tensor) -> Tensor:
    """Return the weights of radar and optical image at each pixel, shared out among what is valid there.

    They sum to 1 where any sensor is valid; a lone valid sensor has exactly 1, an invalid one exactly 0, and all are 0
    where none is valid.

    Args:
        log_odds: (N, 1, H, W), or any shape that broadcasts to it: how much more the optical image is believed.
        share: (N, 2, H, W), how much of a pixel is valid in each, 0 to 1; weights are in proportion to it.
    """
    radar, optical = share.chunk(2, dim=1)
    weighted = torch.cat((radar, optical * odds_of(log_odds).to(share.dtype)), dim=1)
    return weighted / weighted.sum(dim=1, keepdim=True).clamp(min=torch.finfo(share.dtype).tiny)
