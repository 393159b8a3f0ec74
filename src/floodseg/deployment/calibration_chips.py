"""Labelled chips that calibrate an int8 model and measure its water IoU."""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray

from floodseg.bands import OPTICAL_VALID, SAR_VALID, SENSOR_SETS, SensorSet
from floodseg.chips.chip import Chip
from floodseg.config.data import DataConfig
from floodseg.datasets.screening import open_usable
from floodseg.deployment.parity import torch_probability
from floodseg.deployment.samples import Batch
from floodseg.errors import ConfigError
from floodseg.evaluation.evaluate import restrict_to_method
from floodseg.evaluation.methods import model_method
from floodseg.evaluation.metrics.counts import Counts, count
from floodseg.messages import SENSOR_NAMES
from floodseg.models.multi_sensor import AnyModel, optical_margin_of
from floodseg.runtimes.base import Runtime, deciding_sensors

SAMPLE_CHIPS = 24
"""Approximate number of chips for calibration and comparison, spread evenly over the split."""


class CalibrationChips:
    """Chips of one split with the bands of a model.

    A model of both sensors is calibrated and scored on each of the sensor sets ``both``, ``sar`` and ``optical``.
    """

    def __init__(self, model: AnyModel, config: DataConfig, split: str) -> None:
        """Open the split.

        Raises:
            ConfigError: the data lack a sensor of the model.
            DataError: the split cannot be opened.
        """
        self._model = model
        self._chips = open_usable(restrict_to_method(model_method(model, "the model"), config, split), split).chips
        bands = model.spec.bands
        for sensor in bands.sensors:
            if sensor not in self._chips.bands.sensors:
                raise ConfigError(
                    f"`data`: holds no {SENSOR_NAMES[sensor]} images, but the model takes them; use data with every "
                    "sensor of the model, because the exported model is checked on each of them"
                )
        self._sensor_sets = SENSOR_SETS if bands.sensor_set == "both" else (bands.sensor_set,)

    def sample_batches(self) -> list[Batch]:
        """Return about :data:`SAMPLE_CHIPS` batches of one chip, which cycle through the sensor sets."""
        step = max(1, len(self._chips.names) // SAMPLE_CHIPS)
        indices = range(0, len(self._chips.names), step)
        sets = self._sensor_sets
        return [_batch(self._chips.read(i), sets[number % len(sets)]) for number, i in enumerate(indices)]

    def water_iou(self, subject: AnyModel | Runtime) -> dict[SensorSet, float]:
        """Return the water IoU over the split by sensor set, at the model's thresholds."""
        counts = dict.fromkeys(self._sensor_sets, Counts())
        probability: Callable[[Batch], NDArray[np.float32]] = (
            (lambda batch: torch_probability(subject, batch))
            if isinstance(subject, AnyModel)
            else (lambda batch: subject.probability(batch.sar, batch.optical, batch.sar_valid, batch.optical_valid))
        )
        for index in range(len(self._chips.names)):
            chip = self._chips.read(index)
            for sensors in self._sensor_sets:
                batch = _batch(chip, sensors)
                counts[sensors] += self._count(chip, batch, probability(batch))
        return {sensors: total.water_iou or 0.0 for sensors, total in counts.items()}

    def _count(self, chip: Chip, batch: Batch, probability: NDArray[np.float32]) -> Counts:
        """Return the counts of one chip; ``probability`` is (1, H, W)."""
        deciding = deciding_sensors(batch.sar_valid, batch.optical_valid, optical_margin_of(self._model))
        decides_sar, decides_optical = (
            torch.from_numpy(deciding & code != 0)[:, None] for code in (SAR_VALID, OPTICAL_VALID)
        )
        water = self._model.decisions.water(torch.from_numpy(probability), decides_sar, decides_optical)
        return count(water[0], torch.from_numpy(chip.label), torch.from_numpy(deciding[0] != 0))


def _batch(chip: Chip, sensors: SensorSet) -> Batch:
    """Return a chip as a batch of one, with only ``sensors`` valid."""
    sar_valid = chip.sar_valid & (sensors != "optical")
    optical_valid = chip.optical_valid & (sensors != "sar")
    return Batch(chip.sar[None], chip.optical[None], sar_valid[None], optical_valid[None])
