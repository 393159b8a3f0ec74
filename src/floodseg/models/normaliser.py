"""Normalisation of one sensor's bands, as a module whose statistics travel with the weights."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from floodseg.bands import BandStatistics, Sensor
from floodseg.errors import ConfigError

DEFAULT_STATISTICS: dict[Sensor, BandStatistics] = {
    "sar": BandStatistics(mean=-15.0, std=6.0, low=-50.0, high=30.0),
    "optical": BandStatistics(mean=0.15, std=0.15, low=-0.2, high=2.0),
}
"""Statistics of every band before training: typical land scenes in dB and reflectance, clipped at physical limits."""


class InputNormaliser(nn.Module):
    """Standardises the bands of one sensor and sets invalid pixels to 0.

    Values are clipped to the range of the training data first, so that images with a wider range (or SAR data stored
    with a lowest value) look like those of the training set.
    """

    table: Tensor
    """(4, C) float32: mean, std, low and high of each band."""

    def __init__(self, statistics: Sequence[BandStatistics]) -> None:
        super().__init__()
        columns = [(band.mean, band.std, band.low, band.high) for band in statistics]
        # one buffer, not four: four empty ones (a sensor without bands) would share their storage, which safetensors
        # refuses
        self.register_buffer("table", torch.tensor(columns, dtype=torch.float32).view(-1, 4).T.contiguous())

    def forward(self, image: Tensor, valid: Tensor) -> Tensor:
        """Map (N, C, H, W) physical values and (N, 1, H, W) bool to standardised values, exactly 0 where invalid."""
        mean, std, low, high = self.table[:, None, :, None, None].unbind()
        # in place: allocating another tensor of this size costs more than the arithmetic
        standardised = image.clamp(low, high).sub_(mean).div_(std)
        # last, so that NaN or garbage never reaches the network, and zeros stay exact where a compiler reorders
        # arithmetic: a stem divides them by a small share of valid pixels
        return standardised.masked_fill_(~valid, 0.0)

    def statistics(self) -> list[BandStatistics]:
        """Return the statistics of each band."""
        return [BandStatistics(*band) for band in self.table.T.tolist()]


def new_normaliser(
    sensor: Sensor, bands: Sequence[str], statistics: Sequence[BandStatistics] | None
) -> InputNormaliser:
    """Return the normaliser of a new model, with default statistics if none are given.

    Raises:
        ConfigError: the number of statistics is not the number of bands.
    """
    if statistics is None:
        statistics = [DEFAULT_STATISTICS[sensor]] * len(bands)
    if len(statistics) != len(bands):
        raise ConfigError(f"{len(statistics)} {sensor} statistics given for {len(bands)} bands: give one for each band")
    return InputNormaliser(statistics)
