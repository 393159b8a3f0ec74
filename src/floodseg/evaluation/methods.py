"""Scored methods: models and classical baselines that map single chips."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from floodseg.bands import Bands, SensorSet
from floodseg.chips.chip import Chip
from floodseg.errors import CheckpointError
from floodseg.evaluation.baselines import Baseline
from floodseg.evaluation.metrics.counts import ChipScore, ReliabilityBins, count
from floodseg.models.checkpoint.zoo import ShippedModel
from floodseg.models.decision import Decisions, logit_difference
from floodseg.runtimes.base import deciding_sensors

if TYPE_CHECKING:  # shipped models run without PyTorch
    from torch import Tensor, device

    from floodseg.models.multi_sensor import AnyModel


@dataclass(frozen=True)
class ChipResult:
    """Map and score of one chip of H rows and W columns."""

    probability: NDArray[np.float32] | None
    """(H, W) calibrated water probability 0..1, NaN where no sensor is valid; None for methods without one."""
    water: NDArray[np.bool_]
    """(H, W), True for water; False where no sensor is valid."""
    valid: NDArray[np.bool_]
    """(H, W), True where a sensor of the method is valid."""
    score: ChipScore
    logit_differences: NDArray[np.float32] | None = None
    """(H, W) water logit minus land logit; None for methods without logits."""
    deciding: NDArray[np.uint8] | None = None
    """(H, W) validity codes of the sensors that decide each pixel; None for methods without logits."""


@dataclass(frozen=True)
class Method:
    """Model or classical baseline with a common interface."""

    name: str
    apply: Callable[[Chip, Bands], ChipResult]
    sensors: SensorSet
    """The sensors that it takes."""
    threshold: Callable[[SensorSet], float | None]
    """The threshold for the sensors in use; None if it is computed for each chip."""
    decisions: Decisions | None = None
    """Its thresholds and temperatures; None for a method without a probability."""
    bands: Bands | None = None
    """The channels that it takes, in order, and their units; None if it selects its bands by name."""


def model_method(model: "AnyModel", name: str, threshold: float | None = None) -> Method:
    """Return a PyTorch model as a method, with its own thresholds or one threshold for all sensors."""
    decisions = _decisions(model.decisions, threshold)
    bands = model.spec.bands
    return _method_with_decisions(name, lambda chip, _: apply_model(model, chip, decisions), decisions, bands)


def shipped_method(shipped: ShippedModel, name: str, threshold: float | None = None) -> Method:
    """Return a shipped model as a method that runs in OpenVINO.

    Raises:
        CheckpointError: a file is missing, damaged or changed.
    """
    from floodseg.evaluation.shipped import open_shipped

    runtime, stored_decisions = open_shipped(shipped)
    decisions = _decisions(stored_decisions, threshold)
    temperatures = np.array(decisions.by_validity_code("temperature"))

    def apply(chip: Chip, _: Bands) -> ChipResult:
        probability = runtime.probability(
            chip.sar[None], chip.optical[None], chip.sar_valid[None], chip.optical_valid[None]
        )[0]
        deciding = deciding_sensors(chip.sar_valid, chip.optical_valid, runtime.optical_margin)
        double = probability.astype(np.float64)
        # probabilities 0 and 1 have infinite logits, which count in the first and last bin
        with np.errstate(divide="ignore"):
            differences = (np.log(double) - np.log1p(-double)) * temperatures[deciding]
        return _scored(chip, deciding, probability, differences.astype(np.float32), decisions)

    return _method_with_decisions(name, apply, decisions, runtime.bands)


def _decisions(stored: Decisions, threshold: float | None) -> Decisions:
    return stored if threshold is None else stored.with_threshold(threshold)


def _method_with_decisions(
    name: str, apply: Callable[[Chip, Bands], ChipResult], decisions: Decisions, bands: Bands
) -> Method:
    return Method(name, apply, bands.sensor_set, lambda sensors: decisions.of(sensors).threshold, decisions, bands)


def baseline_method(baseline: Baseline) -> Method:
    """Return a classical baseline as a method."""
    return Method(
        baseline.name,
        lambda chip, bands: _apply_baseline(baseline, chip, bands),
        baseline.sensors,
        lambda _: baseline.threshold,
    )


def apply_model(model: "AnyModel", chip: Chip, decisions: Decisions | None = None) -> ChipResult:
    """Map one chip with a PyTorch model and score the map; sets the model to evaluation mode.

    ``decisions`` default to those of the model.

    Raises:
        CheckpointError: the model returns NaN.
    """
    import torch

    from floodseg.models.multi_sensor import optical_margin_of

    model.eval()
    decisions = decisions or model.decisions
    target = next(model.parameters()).device
    sar_valid, optical_valid = (
        torch.from_numpy(valid)[None, None].to(target) for valid in (chip.sar_valid, chip.optical_valid)
    )
    with torch.no_grad():
        logits = model(_image(chip.sar, target), _image(chip.optical, target), sar_valid, optical_valid)
        probability = decisions.probability(logits, sar_valid, optical_valid)
    deciding = deciding_sensors(chip.sar_valid, chip.optical_valid, optical_margin_of(model))
    return _scored(chip, deciding, probability[0].cpu().numpy(), logit_difference(logits)[0].cpu().numpy(), decisions)


def _image(bands: NDArray[np.float32], target: "device") -> "Tensor | None":
    """Return an image as a batch of one on a device, (1, C, H, W); None without channels."""
    import torch

    return torch.from_numpy(bands)[None].to(target) if bands.shape[0] else None


def _scored(
    chip: Chip,
    deciding: NDArray[np.uint8],
    probability: NDArray[np.float32],
    differences: NDArray[np.float32],
    decisions: Decisions,
) -> ChipResult:
    """Score a probability map; ``differences`` are water logit minus land logit; all (H, W)."""
    valid = deciding > 0
    if np.isnan(probability[valid]).any():
        raise CheckpointError(
            f"the model returns NaN for chip {chip.name}, so its weights are damaged; copy the checkpoint again, or "
            "train the model again"
        )
    water = (probability >= np.array(decisions.by_validity_code("threshold"), np.float32)[deciding]) & valid
    reliability = ReliabilityBins()
    reliability.add(probability, chip.label, valid)
    return ChipResult(
        probability=np.where(valid, probability, np.float32(np.nan)),
        water=water,
        valid=valid,
        score=ChipScore(chip.name, chip.event, count(water, chip.label, valid), reliability),
        logit_differences=differences,
        deciding=deciding,
    )


def _apply_baseline(baseline: Baseline, chip: Chip, bands: Bands) -> ChipResult:
    """Map one chip with a classical baseline and score the map."""
    water, valid = baseline.predict(chip, bands)
    counts = count(water, chip.label, valid)
    return ChipResult(None, water, valid, ChipScore(chip.name, chip.event, counts))
