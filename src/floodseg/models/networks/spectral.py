"""``spectral``: NDWI corrected by a small network on water indices, for six optical bands in reflectance."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

WIDTH = 32
"""Channels of all layers."""
DILATIONS = (1, 2, 4, 8)
"""Dilations of the 3x3 convolutions. Few layers thus cover much context."""
RADIUS = sum(DILATIONS)
"""Largest distance in pixels, by row or column, at which an input pixel has an effect on an output pixel."""
LARGEST_CORRECTION = 4.0
"""Bound of the correction of the log-odds."""
CORRECTION_PENALTY = 0.02
"""Weight of the mean square of the correction in the loss of training (:meth:`SpectralNet.correction_penalty`)."""

_SMALLEST_SUM = 0.02
"""Lower bound of the denominator of an index, in reflectance. Below it noise would dominate the ratio. Also added to
reflectance before the logarithm."""
_FEATURES = 9 + 6 + 1
"""Indices, logarithms and validity."""


class WaterIndices(nn.Module):
    """Water indices, logarithms of reflectance and validity at each pixel; without weights.

    The indices are NDWI (McFeeters 1996), MNDWI with each short-wave infrared band (Xu 2006), normalised differences
    of red and near infrared, blue and near infrared, near and short-wave infrared, and of both short-wave infrared
    bands, and both forms of AWEI (Feyisa et al. 2014).
    """

    def forward(self, image: Tensor, valid: Tensor) -> Tensor:
        """Return features (N, 16, H, W), NDWI first, all 0 where invalid.

        Args:
            image: (N, 6, H, W) reflectance of B02, B03, B04, B08, B11 and B12, 0 where invalid.
            valid: (N, 1, H, W) floating point, 0 or 1.
        """
        blue, green, red, nir, swir1, swir2 = image.chunk(6, dim=1)
        pairs = ((green, nir), (green, swir1), (green, swir2), (red, nir), (blue, nir), (nir, swir1), (swir1, swir2))
        indices = [_normalised_difference(one, other) for one, other in pairs]
        awei_shadow = blue + 2.5 * green - 1.5 * (nir + swir1) - 0.25 * swir2
        awei_no_shadow = 4 * (green - swir1) - (0.25 * nir + 2.75 * swir2)
        # scaled to about the range of the other indices
        indices += [5 * awei_shadow, (5 * awei_no_shadow).clamp(-5, 5)]
        # 0 at a reflectance of about 0.12
        logarithms = torch.log(image.clamp(min=0) + _SMALLEST_SUM) + 2
        return torch.cat((*indices, logarithms, torch.ones_like(valid)), dim=1) * valid


def _normalised_difference(one: Tensor, other: Tensor) -> Tensor:
    return ((one - other) / (one + other).clamp(min=_SMALLEST_SUM)).clamp(-1, 1)


class SpectralNet(nn.Module):
    """Log-odds of water: linear in NDWI, plus a bounded correction from the features and their surroundings.

    ::

        image -> WaterIndices -> two 1x1 convolutions -> dilated 3x3 convolutions, each added to its input
              -> 1x1 convolution -> head -> bounded correction ─┐
                     NDWI -> slope and offset ──────────────────┴─ sum -> log-odds

    No layer normalises over pixels, so the output at a pixel depends only on pixels within :data:`RADIUS`.
    """

    def __init__(self) -> None:
        super().__init__()
        self.indices = WaterIndices()
        self.pixelwise = nn.Sequential(
            nn.Conv2d(_FEATURES, WIDTH, 1), nn.ReLU(inplace=True), nn.Conv2d(WIDTH, WIDTH, 1), nn.ReLU(inplace=True)
        )
        self.context = nn.ModuleList(
            nn.Conv2d(WIDTH, WIDTH, 3, padding=dilation, dilation=dilation) for dilation in DILATIONS
        )
        for convolution in self.context:
            assert isinstance(convolution, nn.Conv2d)
            # half of the usual deviation (He et al. 2015), because each is added to its input
            nn.init.normal_(convolution.weight, std=0.5 * (2 / (9 * WIDTH)) ** 0.5)
        self.head = nn.Sequential(nn.Conv2d(WIDTH, WIDTH, 1), nn.ReLU(inplace=True), nn.Conv2d(WIDTH, 1, 1))
        last = self.head[-1]
        assert isinstance(last, nn.Conv2d)
        assert last.bias is not None
        # an untrained network is NDWI > 0
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.slope = nn.Parameter(torch.tensor(6.0))
        self.offset = nn.Parameter(torch.tensor(0.0))

    def forward(self, sar: Tensor, optical: Tensor, sar_valid: Tensor, optical_valid: Tensor) -> Tensor:
        """Return logits (N, 2, H, W) from reflectance (N, 6, H, W), 0 where invalid, and validity (N, 1, H, W) float.

        Radar and its validity are not used.
        """
        features = self.indices(optical, optical_valid)
        # masked, so that an invalid pixel has the effect of one outside of the image
        context = self.pixelwise(features) * optical_valid
        for convolution in self.context:
            context = context + F.relu(convolution(context)) * optical_valid
        correction = LARGEST_CORRECTION * torch.tanh(self.head(context) / LARGEST_CORRECTION)
        log_odds = self._ndwi_log_odds(features) + correction
        return torch.cat((torch.zeros_like(log_odds), log_odds), dim=1)

    def correction_penalty(self, logits: Tensor, optical: Tensor, optical_valid: Tensor) -> Tensor:
        """Return the penalty of the correction in the loss: scalar float32, 0 without a valid pixel.

        It makes the network follow NDWI where the labels do not clearly contradict it. The network then loses less to
        NDWI on places unlike those of its training, such as cities.

        Args:
            logits: (N, 2, H, W) from :meth:`forward`, for the same image.
            optical: (N, 6, H, W) reflectance, 0 where invalid.
            optical_valid: (N, 1, H, W) floating point, 0 or 1.
        """
        ndwi = self._ndwi_log_odds(self.indices(optical, optical_valid))
        correction = (logits[:, 1:].float() - logits[:, :1].float() - ndwi) * optical_valid
        return CORRECTION_PENALTY * correction.square().sum() / optical_valid.sum().clamp(min=1)

    def _ndwi_log_odds(self, features: Tensor) -> Tensor:
        return self.slope * features[:, :1] + self.offset


def spectral() -> SpectralNet:
    """Build ``spectral``."""
    return SpectralNet()
