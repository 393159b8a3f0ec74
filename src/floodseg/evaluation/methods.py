"""Models and classical baselines on single chips: water, probability and score."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from floodseg.bands import Bands, SensorSet
from floodseg.chips.chip import Chip
from floodseg.errors import CheckpointError
from floodseg.evaluation.metrics.counts import ChipScore, ReliabilityBins, count
from floodseg.evaluation.metrics.histograms import SensorHistograms
from floodseg.evaluation.references import Reference
from floodseg.models.decision import Decisions, logit_difference

if TYPE_CHECKING:  # shipped models are scored without PyTorch
    from torch import Tensor, device

    from floodseg.models.model import FloodModel


@dataclass(frozen=True)
class ChipResult:
    """The map of one chip of H rows and W columns by a method, and its score."""

    probability: NDArray[np.float32] | None
    """(H, W) calibrated water probability 0..1, NaN where no sensor is valid; None where the method gives none."""
    water: NDArray[np.bool_]
    """(H, W), True for water; False where nothing is valid."""
    valid: NDArray[np.bool_]
    """(H, W), True where a sensor that the method uses is valid."""
    score: ChipScore
    add_differences: Callable[[SensorHistograms], None] | None = None
    """Counts the chip in histograms of the logit difference; None for methods without one."""


@dataclass(frozen=True)
class Method:
    """A model or a classical baseline behind one call."""

    name: str
    apply: Callable[[Chip, Bands], ChipResult]
    sensors: SensorSet
    """The sensors that it takes."""
    threshold: Callable[[SensorSet], float | None]
    """The probability threshold for the sensors in use; None where each chip has its own."""
    decisions: Decisions | None = None
    """Its thresholds and temperatures; None for a method without a probability."""
    bands: Bands | None = None
    """The channels that it takes, in order, and their units; None where it finds its bands by name."""


def model_method(model: "FloodModel", name: str, threshold: float | None = None) -> Method:
    """Return a PyTorch model as a method, with its own thresholds or one for all sensors."""
    decisions = _decisions(model.decisions, threshold)
    return _learned(name, lambda chip, _: apply_model(model, chip, decisions), decisions, model.spec.bands)


def shipped_method(folder: Path, name: str, threshold: float | None = None) -> Method:
    """Return the shipped model in a weights folder as a method that runs in OpenVINO.

    Raises:
        CheckpointError: its file is missing, damaged or changed.
    """
    from floodseg.evaluation.shipped import ShippedGraph

    graph = ShippedGraph(folder)
    decisions = _decisions(graph.decisions, threshold)
    temperatures = np.array(decisions.by_validity_code("temperature"))

    def apply(chip: Chip, _: Bands) -> ChipResult:
        probability = graph.probability(chip)
        exact = probability.astype(np.float64)
        with np.errstate(divide="ignore"):  # at a probability of 0 or 1 it is infinite, and counted in the end bins
            differences = (np.log(exact) - np.log1p(-exact)) * temperatures[_codes(chip)]
        return _scored(chip, probability, differences.astype(np.float32), decisions)

    return _learned(name, apply, decisions, graph.bands)


def _decisions(stored: Decisions, threshold: float | None) -> Decisions:
    return stored if threshold is None else stored.with_threshold(threshold)


def _learned(name: str, apply: Callable[[Chip, Bands], ChipResult], decisions: Decisions, bands: Bands) -> Method:
    sensors: SensorSet = "both" if bands.sar and bands.optical else "sar" if bands.sar else "optical"
    return Method(name, apply, sensors, lambda used: decisions.of(used).threshold, decisions, bands)


def reference_method(reference: Reference) -> Method:
    """Return a classical baseline as a method."""
    return Method(
        reference.name,
        lambda chip, bands: apply_reference(reference, chip, bands),
        reference.sensors,
        lambda _: reference.threshold,
    )


def apply_model(model: "FloodModel", chip: Chip, decisions: Decisions | None = None) -> ChipResult:
    """Map one chip with a PyTorch model and compare it with its label; the model is left in evaluation mode.

    ``decisions`` are by default those of the model.

    Raises:
        CheckpointError: the model gives values that are no probability.
    """
    import torch

    model.eval()
    decisions = decisions or model.decisions
    place = next(model.parameters()).device
    sar_valid, optical_valid = (
        torch.from_numpy(valid)[None, None].to(place) for valid in (chip.sar_valid, chip.optical_valid)
    )
    with torch.no_grad():
        logits = model(_image(chip.sar, place), _image(chip.optical, place), sar_valid, optical_valid)
        probability = decisions.probability(logits, sar_valid, optical_valid)
    return _scored(chip, probability[0].cpu().numpy(), logit_difference(logits)[0].cpu().numpy(), decisions)


def _image(bands: NDArray[np.float32], place: "device") -> "Tensor | None":
    """Return (1, C, H, W) on a device, or None for a data set without the sensor."""
    import torch

    return torch.from_numpy(bands)[None].to(place) if bands.shape[0] else None


def _codes(chip: Chip) -> NDArray[np.intp]:
    """Return the validity codes of the pixels, (H, W); see ``floodseg.models.decision``."""
    return chip.sar_valid.astype(np.intp) + 2 * chip.optical_valid


def _scored(
    chip: Chip, probability: NDArray[np.float32], differences: NDArray[np.float32], decisions: Decisions
) -> ChipResult:
    """Compare the probability (H, W) with the label; ``differences`` (H, W) are water logit less land logit."""
    codes = _codes(chip)
    valid = codes > 0
    if np.isnan(probability[valid]).any():
        raise CheckpointError(
            f"the model gives NaN for chip {chip.name}, so its weights are damaged; copy them again, or train it again"
        )
    water = (probability >= np.array(decisions.by_validity_code("threshold"), np.float32)[codes]) & valid
    reliability = ReliabilityBins()
    reliability.add(probability, chip.label, valid)
    batch = {"label": chip.label[None], "sar_valid": chip.sar_valid[None, None],
             "optical_valid": chip.optical_valid[None, None]}  # fmt: skip
    return ChipResult(
        probability=np.where(valid, probability, np.float32(np.nan)),
        water=water,
        valid=valid,
        score=ChipScore(chip.name, chip.event, count(water, chip.label, valid), reliability),
        add_differences=lambda histograms: histograms.add(
            np.stack((np.zeros_like(differences), differences))[None], batch
        ),
    )


def apply_reference(reference: Reference, chip: Chip, bands: Bands) -> ChipResult:
    """Map one chip by a classical baseline and compare it with its label."""
    water, probability, valid = reference.predict(chip, bands)
    counts = count(water, chip.label, valid)
    return ChipResult(probability, water, valid, ChipScore(chip.name, chip.event, counts))
