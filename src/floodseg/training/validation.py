"""Validation of a model in training: histograms of the margin, and the decisions that follow from them."""

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
from floodseg.evaluation.metrics.calibration import MarginHistogram
from floodseg.evaluation.metrics.counts import Counts
from floodseg.evaluation.metrics.histograms import SensorHistograms
from floodseg.models.decision import Decision, Decisions
from floodseg.models.model import FloodModel


@dataclass(frozen=True)
class Validation:
    """Scores of one pass over the validation split, at its best threshold."""

    histograms: SensorHistograms
    loss: float
    threshold: float
    water_iou: float
    """0 where neither label nor prediction holds water."""
    counts: Counts


@torch.no_grad()
def validate(model: nn.Module, loader: "DataLoader[Any]", loss: nn.Module, processes: Processes) -> Validation:
    """Score ``model`` on every chip; the loss is the mean over chips with a counted pixel.

    ``loader`` gives the chips that fall to this process; the scores, the same in every process, are those of all.
    """
    model.eval()
    histograms = SensorHistograms()
    total, chips = 0.0, 0
    with processes.agreeing():
        for batch in loader:
            batch = move_to(batch, processes.device)
            logits = forward(model, batch)
            histograms.add(logits, batch)
            counted = counted_pixels(batch)
            if bool(counted.any()):
                total += float(loss(logits, batch["label"], counted))
                chips += 1
    total, chips = processes.sum(torch.tensor([total, chips], dtype=torch.float64)).tolist()
    histograms = reduce(add, processes.gather([histograms], processes.count))
    histogram = histograms.total()
    threshold, water_iou = histogram.best_threshold()
    return Validation(histograms, total / max(chips, 1), threshold, water_iou or 0.0, histogram.counts_at(threshold))


def decide(histograms: SensorHistograms) -> Decisions:
    """Choose temperature and threshold for each sensor set; one that the split does not show gets those of all."""
    overall = _decision(histograms.total())
    decisions = Decisions(sar=overall, optical=overall, both=overall)
    for sensors, histogram in histograms.by_sensors.items():
        if histogram.counts_at(0.5).n:
            decisions = decisions.with_(sensors, _decision(histogram))
    return decisions


def decided_counts(histograms: SensorHistograms, decisions: Decisions) -> Counts:
    """Return the counts of a split when each pixel is decided by the numbers of the sensors that are valid there."""
    chosen = ((histogram, decisions.of(sensors)) for sensors, histogram in histograms.by_sensors.items())
    counts = (histogram.counts_at(decision.threshold, decision.temperature) for histogram, decision in chosen)
    return sum(counts, start=Counts())


@torch.no_grad()
def calibrate(model: FloodModel, loader: "DataLoader[Any]", processes: Processes) -> Counts:
    """Choose temperature and threshold of a trained model on the validation split; set them, and return their counts.

    ``loader`` gives the chips that fall to this process; the result, the same in every process, is that of all.

    A model of both sensors is run three times, as the split is and with each sensor withheld, so that the decisions
    for one sensor rest on every chip and not only on the pixels where the other happens to be missing. Where it judges
    clouds, what it leaves to radar is moved to where radar's own threshold lies by the choice for both, which is made
    once more then; the move follows it, so that radar's threshold is met exactly.
    """
    model.eval()
    if model.judge is not None:
        # what an earlier calibration chose takes no part in this one
        model.judge.shift.zero_()
    as_it_is = _histograms(model, loader, processes, withheld=None)
    decisions = decide(as_it_is)
    if model.spec.bands.sar and model.spec.bands.optical:
        pairs: tuple[tuple[Sensor, Sensor], ...] = (("sar", "optical"), ("optical", "sar"))
        for sensor, other in pairs:
            histograms = _histograms(model, loader, processes, withheld=other)
            decisions = decisions.with_(sensor, decide(histograms).of(sensor))
    if model.judge is not None:
        model.judge.shift.fill_(decisions.from_radar)
        moved = _histograms(model, loader, processes, withheld=None)
        decisions = decisions.with_("both", decide(moved).both)
        model.judge.shift.fill_(decisions.from_radar)
        as_it_is = _histograms(model, loader, processes, withheld=None)
    model.decisions = decisions
    return decided_counts(as_it_is, decisions)


def _histograms(
    model: nn.Module, loader: "DataLoader[Any]", processes: Processes, withheld: Sensor | None
) -> SensorHistograms:
    histograms = SensorHistograms()
    with processes.agreeing():
        for batch in loader:
            batch = move_to(batch, processes.device)
            if withheld is not None:
                valid = f"{withheld}_valid"
                batch = {**batch, valid: torch.zeros_like(batch[valid])}
            histograms.add(forward(model, batch), batch)
    return reduce(add, processes.gather([histograms], processes.count))


def _decision(histogram: MarginHistogram) -> Decision:
    temperature = histogram.fit_temperature()
    threshold, _ = histogram.best_threshold(temperature)
    return Decision(threshold, temperature)
