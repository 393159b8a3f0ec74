"""Real chips on which quantisation is calibrated and water IoU is measured."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from floodseg.bands import SENSOR_SETS, SensorSet
from floodseg.chips.chip import Chip
from floodseg.config.train import DataConfig
from floodseg.datasets.screening import open_usable
from floodseg.deployment.parity import reference
from floodseg.deployment.samples import Batch
from floodseg.errors import ConfigError
from floodseg.evaluation.evaluate import for_method
from floodseg.evaluation.methods import model_method
from floodseg.evaluation.metrics.counts import Counts, count
from floodseg.models.decision import VALIDITY_CODES
from floodseg.models.model import FloodModel
from floodseg.runtimes.base import Runtime

SOME = 24
"""Chips for calibration, spread evenly over the split."""


class CalibrationChips:
    """Chips of one split with the bands of a model: with both sensors and, for a model of both, with each alone."""

    def __init__(self, model: FloodModel, config: DataConfig, split: str) -> None:
        """Open the split.

        Raises:
            ConfigError: the data lack a sensor of the model.
            DataError: the split cannot be opened.
        """
        self._model = model
        self._chips = open_usable(for_method(model_method(model, "the model"), config, split), split).chips
        stored, taken = self._chips.bands, model.spec.bands
        for sensor in taken.sensors:
            if sensor not in stored.sensors:
                raise ConfigError(
                    f"`data`: holds no {sensor} images, and the model takes them: an export is calibrated and "
                    "compared on every sensor of the model; give data that hold both"
                )
        self._sets = SENSOR_SETS if taken.sensor_set == "both" else (taken.sensor_set,)

    def some(self) -> list[Batch]:
        """Return about :data:`SOME` batches of one chip; for a model of both sensors with both and each in turn."""
        step = max(1, len(self._chips.names) // SOME)
        indices = range(0, len(self._chips.names), step)
        return [_batch(self._chips.read(i), self._sets[n % len(self._sets)]) for n, i in enumerate(indices)]

    def scores(self, subject: FloodModel | Runtime) -> dict[SensorSet, float]:
        """Return the water IoU over the split for each sensor set, at the thresholds of the model."""
        counts = dict.fromkeys(self._sets, Counts())
        probability: Callable[[Batch], NDArray[np.float32]] = (
            (lambda batch: reference(subject, batch))
            if isinstance(subject, FloodModel)
            else (lambda batch: subject.probability(batch.sar, batch.optical, batch.sar_valid, batch.optical_valid))
        )
        for chip in self._read():
            for sensors in self._sets:
                batch = _batch(chip, sensors)
                counts[sensors] += self._count(chip, batch, probability(batch))
        return {sensors: each.water_iou or 0.0 for sensors, each in counts.items()}

    def _read(self) -> Iterator[Chip]:
        return (self._chips.read(index) for index in range(len(self._chips.names)))

    def _count(self, chip: Chip, batch: Batch, probability: NDArray[np.float32]) -> Counts:
        code = batch.sar_valid[0].astype(np.intp) + 2 * batch.optical_valid[0]
        decisions = self._model.decisions
        thresholds = np.ones(4, np.float32)
        for sensors, number in VALIDITY_CODES.items():
            thresholds[number] = decisions.of(sensors).threshold
        water = probability[0] >= thresholds[code]
        return count(torch.from_numpy(water), torch.from_numpy(chip.label), torch.from_numpy(code > 0))


def _batch(chip: Chip, sensors: SensorSet) -> Batch:
    """Return a chip as a batch of one, in which only ``sensors`` are valid."""
    masked = replace(
        chip,
        sar_valid=chip.sar_valid & (sensors != "optical"),
        optical_valid=chip.optical_valid & (sensors != "sar"),
    )
    return Batch(masked.sar[None], masked.optical[None], masked.sar_valid[None], masked.optical_valid[None])
