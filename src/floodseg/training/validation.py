"""Validation of a model: histograms of the logit difference, and thresholds chosen from them."""

from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader

from floodseg.bands import Sensor
from floodseg.chips.loader import move_to
from floodseg.distributed.processes import Processes
from floodseg.evaluation.forward import counted_pixels, forward
from floodseg.evaluation.metrics.calibration import LogitDifferenceHistogram
from floodseg.evaluation.metrics.counts import Counts
from floodseg.evaluation.metrics.histograms import SensorHistograms
from floodseg.models.decision import Decision, Decisions
from floodseg.models.model import FloodModel
from floodseg.models.multi_sensor import AnyModel, MultiSensorModel
from floodseg.models.networks.spectral import SpectralNet

TEMPERATURE_FACTOR = 0.92
"""Factor of the fitted temperature of ``spectral`` (:func:`_calibrate_spectral`)."""


@dataclass(frozen=True)
class Validation:
    """Scores on the validation split at its best threshold."""

    histograms: SensorHistograms
    loss: float
    threshold: float
    water_iou: float
    """0 if neither label nor prediction holds water."""
    counts: Counts


@torch.no_grad()
def validate(model: nn.Module, loader: "DataLoader[Any]", loss: nn.Module, processes: Processes) -> Validation:
    """Score a model on the validation split; the loss is the mean over chips with a counted pixel.

    ``loader`` yields the chips of this process. The scores cover those of all processes.
    """
    model.eval()
    histograms = SensorHistograms()
    total, chips = 0.0, 0
    for batch in loader:
        batch = move_to(batch, processes.device)
        logits = forward(model, batch)
        histograms.add(logits, batch)
        counted = counted_pixels(batch)
        if bool(counted.any()):
            total += float(loss(logits, batch["label"], counted))
            chips += 1
    total, chips = processes.sum(torch.tensor([total, chips], dtype=torch.float64)).tolist()
    histograms = reduce(add, processes.gather_one(histograms))
    histogram = histograms.total()
    threshold, water_iou = histogram.best_threshold()
    return Validation(histograms, total / max(chips, 1), threshold, water_iou or 0.0, histogram.counts_at(threshold))


def choose_decisions(histograms: SensorHistograms) -> Decisions:
    """Return the best temperature and threshold of each sensor set; a set without pixels gets those of all pixels."""
    overall = _decision(histograms.total())
    decisions = Decisions(sar=overall, optical=overall, both=overall)
    for sensors, histogram in histograms.by_sensors.items():
        if histogram.counts_at(0.5).n:
            decisions = decisions.with_decision(sensors, _decision(histogram))
    return decisions


def decisions_for(model: AnyModel, histograms: SensorHistograms) -> Decisions:
    """Return the best decisions of a model.

    The radar and the optical model of a multi-sensor model have their own, and only that for both sensors is chosen.
    """
    decisions = choose_decisions(histograms)
    if isinstance(model, MultiSensorModel):
        return model.single_sensor_decisions().with_decision("both", decisions.both)
    return decisions


def counts_at_decisions(histograms: SensorHistograms, decisions: Decisions) -> Counts:
    """Return the counts of a split at the threshold for the valid sensors of each pixel."""
    chosen = ((histogram, decisions.of(sensors)) for sensors, histogram in histograms.by_sensors.items())
    counts = (histogram.counts_at(decision.threshold, decision.temperature) for histogram, decision in chosen)
    return sum(counts, start=Counts())


@torch.no_grad()
def calibrate(model: AnyModel, loader: "DataLoader[Any]", processes: Processes) -> Counts:
    """Choose and set the temperatures and thresholds of a trained model on the validation split; return the counts.

    ``loader`` yields the chips of this process. The counts cover those of all processes.

    A plain model of both sensors runs three times: with both sensors and with each sensor withheld. The thresholds for
    one sensor then use all chips, not only the pixels where the other sensor is missing. For ``spectral`` see
    :func:`_calibrate_spectral`.
    """
    model.eval()
    if isinstance(model, FloodModel) and isinstance(model.network, SpectralNet):
        return _calibrate_spectral(model, model.network, loader, processes)
    full = _histograms(without_cloud_detector(model), loader, processes, withheld=None)
    decisions = decisions_for(model, full)
    if not isinstance(model, MultiSensorModel) and model.spec.bands.sensor_set == "both":
        pairs: tuple[tuple[Sensor, Sensor], ...] = (("sar", "optical"), ("optical", "sar"))
        for sensor, other in pairs:
            histograms = _histograms(model, loader, processes, withheld=other)
            decisions = decisions.with_decision(sensor, choose_decisions(histograms).of(sensor))
    model.decisions = decisions
    if isinstance(model, MultiSensorModel) and model.cloud_detector is not None:
        full = _histograms(model, loader, processes, withheld=None)
    return counts_at_decisions(full, decisions)


def _calibrate_spectral(
    model: FloodModel, network: SpectralNet, loader: "DataLoader[Any]", processes: Processes
) -> Counts:
    """Choose and set offset and temperature of ``spectral`` on the validation split; its threshold is 0.5.

    The penalty of the correction leaves the probability too low where NDWI is not clear; the offset makes up for it.
    The threshold with the best water IoU would be closer to the labels of the training domains, and further from NDWI
    on others. The fitted temperature is lowered: most validation parts of ``s2`` have rough labels, which mark a part
    of the clear land as water. Labels of other places do not.
    """
    network.offset.add_(_histograms(model, loader, processes, withheld=None).total().fit_offset())
    calibrated = _histograms(model, loader, processes, withheld=None)
    decision = Decision(0.5, TEMPERATURE_FACTOR * calibrated.total().fit_temperature())
    model.decisions = Decisions(sar=decision, optical=decision, both=decision)
    return counts_at_decisions(calibrated, model.decisions)


def without_cloud_detector(model: AnyModel) -> AnyModel:
    """Return the model without its cloud detector, for the choice of the decision on pixels of the fused model."""
    return model.without_cloud_detector() if isinstance(model, MultiSensorModel) else model


def _histograms(
    model: nn.Module, loader: "DataLoader[Any]", processes: Processes, withheld: Sensor | None
) -> SensorHistograms:
    histograms = SensorHistograms()
    for batch in loader:
        batch = move_to(batch, processes.device)
        if withheld is not None:
            valid = f"{withheld}_valid"
            batch = {**batch, valid: torch.zeros_like(batch[valid])}
        histograms.add(forward(model, batch), batch)
    return reduce(add, processes.gather_one(histograms))


def _decision(histogram: LogitDifferenceHistogram) -> Decision:
    temperature = histogram.fit_temperature()
    threshold, _ = histogram.best_threshold(temperature)
    return Decision(threshold, temperature)
