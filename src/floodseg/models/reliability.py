"""How far each sensor is believed at each pixel: weights that the network predicts from what the sensors show.

A cloud mask may miss cloud. What lies under it then passes for valid, and a fixed weight would mix it in like the rest;
a weight that is predicted from the pixels themselves can leave such a place to the other sensor.
"""

from collections.abc import Sequence
from functools import reduce

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_NEVER = -1e4
"""Logit of a sensor that is not valid: its exponential is 0, also in half precision, which holds this number."""

_FIRST_WEIGHTS = 0.01
"""Standard deviation of the first weights: fusion begins nearly even, and every layer has a gradient."""


class SensorReliability(nn.Module):
    """Predicts one logit for each sensor and pixel from the features of all sensors.

    What is seen at the pixel itself is added to what is seen around it, on cells of ``cell`` pixels and their
    neighbours: a veil shows in the look of a place rather than in a single pixel. Features of an invalid pixel are a
    constant, so that its content reaches nothing.

    Args:
        channels: of the features of each sensor.
        sensors: their number.
        cell: height and width of a cell in pixels of the features.
    """

    def __init__(self, channels: int, sensors: int, cell: int, hidden: int = 8) -> None:
        super().__init__()
        self.cell = cell
        # no bias: the weights that do not depend on the pixel are learned beside this
        self.here = nn.ModuleList(nn.Conv2d(channels, sensors, 1, bias=False) for _ in range(sensors))
        self.around = nn.Conv2d(sensors * channels, hidden, 3, padding=1)
        self.judge = nn.Conv2d(hidden, sensors, 1, bias=False)
        for layer in (*self.here, self.judge):
            nn.init.normal_(layer.get_parameter("weight"), std=_FIRST_WEIGHTS)

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """Map the features of each sensor, (N, channels, H, W), to logits (N, sensors, H, W)."""
        here: Tensor = reduce(torch.add, (look(each) for look, each in zip(self.here, features, strict=True)))
        cells = torch.cat([F.avg_pool2d(each, self.cell) for each in features], dim=1)
        around: Tensor = self.judge(F.relu(self.around(cells)))
        return here + F.interpolate(around, size=here.shape[-2:], mode="bilinear", align_corners=False)


def shared_out(logits: Tensor, share: Tensor) -> Tensor:
    """Return the weights of the sensors at each pixel: a softmax over those that are valid there.

    They sum to 1 where any sensor is valid; a lone valid sensor has exactly 1, an invalid one exactly 0, and all are 0
    where none is valid.

    Args:
        logits: (N, S, H, W), or any shape that broadcasts to it.
        share: (N, S, H, W), how much of a pixel is valid, 0 to 1; weights are in proportion to it.
    """
    logits = torch.where(share > 0, logits.to(share.dtype), _NEVER)
    weights = (logits - logits.amax(dim=1, keepdim=True)).exp() * share
    return weights / weights.sum(dim=1, keepdim=True).clamp(min=torch.finfo(share.dtype).tiny)
