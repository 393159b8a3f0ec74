"""Normalisation of the bands of one sensor, with statistics that are saved with the weights."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from floodseg.bands import BandStatistics, Sensor
from floodseg.errors import ConfigError
from floodseg.messages import SENSOR_NAMES

DEFAULT_STATISTICS: dict[Sensor, BandStatistics] = {
    "sar": BandStatistics(mean=-15.0, std=6.0, low=-50.0, high=30.0),
    "optical": BandStatistics(mean=0.15, std=0.15, low=-0.2, high=2.0),
}
"""Statistics of every band before training: values of typical land scenes in dB and reflectance."""


class InputNormaliser(nn.Module):
    """Standardises the bands of one sensor and sets invalid pixels to 0.

    Values are first clipped to the range of the training data, which is often narrower than that of other images.
    """

    table: Tensor
    """(4, C) float32: mean, std, low and high of each band."""

    def __init__(self, statistics: Sequence[BandStatistics]) -> None:
        super().__init__()
        columns = [(band.mean, band.std, band.low, band.high) for band in statistics]
        table = torch.tensor(columns, dtype=torch.float32).view(-1, 4).T.contiguous()
        # empty tables, of a sensor without bands, share their storage, and safetensors refuses to save such tensors
        self.register_buffer("table", table, persistent=bool(columns))

    def forward(self, image: Tensor, valid: Tensor) -> Tensor:
        """Map (N, C, H, W) physical values and (N, 1, H, W) bool to standardised values, exactly 0 where invalid."""
        mean, std, low, high = self.table[:, None, :, None, None].unbind()
        # in place, because the allocation of another image takes longer than the arithmetic
        standardised = image.clamp(low, high).sub_(mean).div_(std)
        # the last step, so that invalid pixels are exactly 0, even if a compiler reorders the arithmetic above; the
        # stem of a network divides them by a small number
        return standardised.masked_fill_(~valid, 0.0)

    def statistics(self) -> list[BandStatistics]:
        """Return the statistics of each band."""
        return [BandStatistics(*band) for band in self.table.T.tolist()]


def new_normaliser(
    sensor: Sensor, bands: Sequence[str], statistics: Sequence[BandStatistics] | None
) -> InputNormaliser:
    """Return the normaliser of a new model, with default statistics if ``statistics`` is None.

    Raises:
        ConfigError: the number of statistics is not the number of bands.
    """
    if statistics is None:
        statistics = [DEFAULT_STATISTICS[sensor]] * len(bands)
    if len(statistics) != len(bands):
        raise ConfigError(
            f"{len(statistics)} {SENSOR_NAMES[sensor]} statistics for {len(bands)} bands; pass one for each band"
        )
    return InputNormaliser(statistics)
