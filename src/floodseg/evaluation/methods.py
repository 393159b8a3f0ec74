"""One method on one whole chip: water, probability and score, as evaluation and pictures need them."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from floodseg.bands import Bands, SensorSet
from floodseg.chips.chip import Chip
from floodseg.errors import CheckpointError
from floodseg.evaluation.metrics.counts import ChipScore, ReliabilityBins, count
from floodseg.evaluation.metrics.histograms import SensorHistograms
from floodseg.evaluation.references import Reference
from floodseg.models.decision import Decisions
from floodseg.models.model import FloodModel


@dataclass(frozen=True)
class ChipResult:
    """What a method makes of a chip of H rows and W columns."""

    probability: NDArray[np.float32] | None
    """(H, W) calibrated water probability 0..1, NaN where no sensor is valid; None where the method gives none."""
    water: NDArray[np.bool_]
    """(H, W), True for water; False where nothing is valid."""
    valid: NDArray[np.bool_]
    """(H, W), True where the method had something to go by."""
    score: ChipScore
    add_margins: Callable[[SensorHistograms], None] | None = None
    """Counts the chip in histograms of the logit margin; None for methods without one."""


@dataclass(frozen=True)
class Method:
    """A model or a reference method under one call."""

    name: str
    apply: Callable[[Chip, Bands], ChipResult]
    sensors: SensorSet
    """What it can use."""
    threshold: Callable[[SensorSet], float | None]
    """The probability threshold for the sensors in use; None where each chip has its own."""
    decisions: Decisions | None = None
    """What it decides by; None for a method without a probability."""
    bands: Bands | None = None
    """The channels it takes, in order, and their units; None where it takes them by name from what is there."""


def model_method(model: FloodModel, name: str, threshold: float | None = None) -> Method:
    """Return a model as a method; its own thresholds decide, unless one is given for all sensors."""
    decisions = model.decisions if threshold is None else model.decisions.with_threshold(threshold)
    held = model.spec.bands
    sensors: SensorSet = "both" if held.sar and held.optical else "sar" if held.sar else "optical"
    return Method(
        name,
        lambda chip, _: apply_model(model, chip, decisions),
        sensors,
        lambda used: decisions.of(used).threshold,
        decisions,
        held,
    )


def reference_method(reference: Reference) -> Method:
    """Return a reference as a method."""
    return Method(
        reference.name,
        lambda chip, bands: apply_reference(reference, chip, bands),
        reference.sensors,
        lambda _: reference.threshold,
    )


@torch.no_grad()
def apply_model(model: FloodModel, chip: Chip, decisions: Decisions | None = None) -> ChipResult:
    """Map one chip and compare it with its label; the model is left in evaluation mode.

    ``decisions`` are by default those of the model.

    Raises:
        CheckpointError: the model gives what is no probability.
    """
    model.eval()
    decisions = decisions or model.decisions
    device = next(model.parameters()).device
    sar_valid, optical_valid = _mask(chip.sar_valid, device), _mask(chip.optical_valid, device)
    logits = model(_image(chip.sar, device), _image(chip.optical, device), sar_valid, optical_valid)
    probability = decisions.probability(logits, sar_valid, optical_valid)
    seen = (sar_valid | optical_valid)[0, 0]
    if probability[0][seen].isnan().any():
        raise CheckpointError(
            f"the model gives values that are no numbers for chip {chip.name}, so its weights are damaged; copy them "
            "again, or train it anew"
        )
    water = decisions.water(probability, sar_valid, optical_valid)[0] & seen
    label = torch.from_numpy(chip.label).to(device)
    reliability = ReliabilityBins()
    reliability.add(probability[0], label, seen)
    return ChipResult(
        probability=torch.where(seen, probability[0], torch.nan).cpu().numpy(),
        water=water.cpu().numpy(),
        valid=seen.cpu().numpy(),
        score=ChipScore(chip.name, chip.event, count(water, label, seen), reliability),
        add_margins=lambda histograms: histograms.add(
            logits, {"label": label[None], "sar_valid": sar_valid, "optical_valid": optical_valid}
        ),
    )


def apply_reference(reference: Reference, chip: Chip, bands: Bands) -> ChipResult:
    """Map one chip by a reference method and compare it with its label."""
    water, probability, valid = reference.predict(chip, bands)
    counts = count(torch.from_numpy(water), torch.from_numpy(chip.label), torch.from_numpy(valid))
    return ChipResult(probability, water, valid, ChipScore(chip.name, chip.event, counts))


def _image(bands: NDArray[np.float32], device: torch.device) -> Tensor | None:
    """Return (1, C, H, W), or None for a data set without the sensor."""
    return torch.from_numpy(bands).unsqueeze(0).to(device) if bands.shape[0] else None


def _mask(valid: NDArray[np.bool_], device: torch.device) -> Tensor:
    return torch.from_numpy(valid)[None, None].to(device)
