"""Variants of a multi-sensor model under simulated clouds, compared with the better sensor alone.

    python -m benchmarks.accuracy.fusion_variants RUN RUN RUN --layout ombria --data DIR --json FILE

The networks run once for each chip and cloud; the variants combine their log-odds. Each variant has its own threshold
for both sensors, chosen on the clear validation chips; the radar and the optical model have theirs. The weights of the
sum of log-odds are fitted on the clear validation chips, too, which favours that variant a little.
"""

import math
import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from cyclopts import App, Parameter
from numpy.typing import NDArray
from scipy.optimize import minimize

from benchmarks.accuracy.clouded_runs import COVERS
from benchmarks.report import report
from floodseg.app.exit_codes import run_and_exit
from floodseg.bands import IGNORE, WATER
from floodseg.chips.chip import Chip, ChipSet
from floodseg.config.data import DataConfig
from floodseg.config.evaluate import ScoreConfig
from floodseg.datasets.screening import open_usable
from floodseg.errors import ConfigError
from floodseg.evaluation.clouds import clouded_chip
from floodseg.evaluation.evaluate import restrict_to_method
from floodseg.evaluation.methods import model_method
from floodseg.evaluation.metrics.bootstrap import Pair, paired_difference
from floodseg.evaluation.metrics.calibration import LogitDifferenceHistogram
from floodseg.evaluation.metrics.counts import Counts, count
from floodseg.models.checkpoint.zoo import load_model
from floodseg.models.decision import logit_difference
from floodseg.models.model import FloodModel
from floodseg.models.multi_sensor import MultiSensorModel

app = App(help="Variants of multi-sensor models.", default_parameter=Parameter(consume_multiple=True))
_CELLS = [("perfect", 0.0)] + [(mask, cover) for mask in ("perfect", "thin-missed", "none") for cover in COVERS[1:]]
"""Quality of the cloud mask, and cloud cover. Without clouds, the mask has no effect."""
Floats = NDArray[np.float32]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Outputs:
    """Log-odds of the networks on all chips, each (chips, H, W), with validity and labels."""

    sar: Floats
    optical: Floats
    fused: Floats
    clouded: Mask
    """True where the cloud detector finds a cloud."""
    sar_valid: Mask
    optical_valid: Mask
    label: NDArray[np.uint8]

    @property
    def both(self) -> Mask:
        """Pixels where both sensors are valid."""
        return self.sar_valid & self.optical_valid


@dataclass(frozen=True)
class Variant:
    """A way to decide the pixels where both sensors are valid."""

    log_odds: Callable[[Outputs], Floats]
    detects_clouds: bool = True
    """The radar model decides where the cloud detector finds a cloud."""
    moves_threshold: bool = True
    """The radar model then decides with its own threshold, not with that of the variant."""


@app.default
def fusion_variants(
    *runs: Path,
    config: Annotated[DataConfig, Parameter(name="*")] = DataConfig(),  # noqa: B008 (frozen: cannot be changed)
    json_file: Annotated[Path | None, Parameter(name="--json")] = None,
) -> None:
    """Score variants of multi-sensor models on the validation split under simulated clouds.

    Parameters
    ----------
    runs
        Run folders of multi-sensor models.
    json_file
        Write the scores as one JSON object.
    """
    rows: dict[tuple[str, str, float], list[dict[str, Any]]] = {}
    for run in runs:
        model = load_model(run)
        if not isinstance(model, MultiSensorModel) or model.cloud_detector is None:
            raise ConfigError(f"{run}: is not a multi-sensor model with a cloud detector; use runs with specialists")
        chips = open_usable(restrict_to_method(model_method(model, str(run)), config, "valid"), "valid").chips
        clear = run_networks(model, chips, "perfect", 0.0)
        radar = threshold(clear.sar, clear, clear.sar_valid)
        optical = threshold(clear.optical, clear, clear.optical_valid)
        variants = variants_of(clear)
        thresholds = {name: threshold(each.log_odds(clear), clear, clear.both) for name, each in variants.items()}
        for mask, cover in _CELLS:
            outputs = run_networks(model, chips, mask, cover)
            single = outputs.sar >= radar, outputs.optical >= optical
            for name, variant in variants.items():
                water = decide(variant, outputs, thresholds[name], single, radar)
                rows.setdefault((name, mask, cover), []).append(score(water, outputs, single))
    table = [_row(*key, seeds) for key, seeds in rows.items()]
    print("\n".join(_lines(table)))
    report({"runs": len(runs), "rows": table}, json_file)


def variants_of(clear: Outputs) -> dict[str, Variant]:
    """Return the variants, with the weights of the sum of log-odds fitted on the clear chips."""
    weights = fitted_weights(clear)

    def fused(outputs: Outputs) -> Floats:
        return outputs.fused

    def log_odds(outputs: Outputs) -> Floats:
        return np.float32(weights[0]) * outputs.sar + np.float32(weights[1]) * outputs.optical + np.float32(weights[2])

    def mean(outputs: Outputs) -> Floats:
        return (outputs.fused + outputs.sar + outputs.optical) / np.float32(3)

    return {
        "fused model and cloud detector": Variant(fused),
        "without moved threshold": Variant(fused, moves_threshold=False),
        "without cloud detector": Variant(fused, detects_clouds=False),
        "mean of the three log-odds, cloud detector": Variant(mean),
        "weighted sum of two log-odds, cloud detector": Variant(log_odds),
        "weighted sum of two log-odds": Variant(log_odds, detects_clouds=False),
    }


def fitted_weights(clear: Outputs) -> NDArray[np.float64]:
    """Return radar weight, optical weight and bias of a logistic regression on every seventh clear pixel."""
    counted = clear.both & (clear.label != IGNORE)
    sar, optical = (each[counted][::7].astype(float) for each in (clear.sar, clear.optical))
    sign = np.where(clear.label[counted][::7] == WATER, -1.0, 1.0)

    def loss(weights: NDArray[np.float64]) -> float:
        return float(np.logaddexp(0, sign * (weights[0] * sar + weights[1] * optical + weights[2])).mean())

    fitted: NDArray[np.float64] = minimize(loss, [1.0, 1.0, 0.0], method="BFGS").x
    return fitted


def threshold(log_odds: Floats, outputs: Outputs, counted: Mask) -> float:
    """Return the log-odds from which a pixel is water, chosen by water IoU."""
    histogram = LogitDifferenceHistogram()
    histogram.add(log_odds, outputs.label, counted)
    temperature = histogram.fit_temperature()
    best = min(max(histogram.best_threshold(temperature)[0], 1e-3), 1 - 1e-3)
    return temperature * math.log(best / (1 - best))


def decide(variant: Variant, outputs: Outputs, at: float, single: tuple[Mask, Mask], radar: float) -> Mask:
    """Return the water mask of a variant with the threshold ``at`` for both sensors."""
    water = variant.log_odds(outputs) >= at
    if variant.detects_clouds:
        by_radar = outputs.sar >= (radar if variant.moves_threshold else at)
        water = np.where(outputs.clouded, by_radar, water)
    return np.where(outputs.both, water, np.where(outputs.sar_valid, *single))


def score(water: Mask, outputs: Outputs, single: tuple[Mask, Mask]) -> dict[str, Any]:
    """Return the water IoU of a map, and its difference from the better sensor alone."""
    valid = outputs.sar_valid | outputs.optical_valid
    total = sum(_counts(water, outputs, valid), start=Counts())
    differences = []
    for alone, counted in zip(single, (outputs.sar_valid, outputs.optical_valid), strict=True):
        counts = zip(_counts(water, outputs, counted), _counts(alone, outputs, counted), strict=True)
        differences.append(paired_difference([Pair(f"{chip:04d}", *pair) for chip, pair in enumerate(counts)]))
    least = min((each for each in differences if each is not None), key=lambda each: each.difference)
    return {"water_iou": total.water_iou, "minus_better": least.difference, "ci95": least.ci95}


def _counts(water: Mask, outputs: Outputs, counted: Mask) -> list[Counts]:
    return [count(*chip) for chip in zip(water, outputs.label, counted, strict=True)]


@torch.inference_mode()
def run_networks(model: MultiSensorModel, chips: ChipSet, mask: Any, cover: float) -> Outputs:
    """Run the networks of a model on all chips under clouds."""
    config = ScoreConfig(cloud=(cover,), cloud_mask_quality=mask)
    results = []
    for index in range(len(chips.names)):
        chip = chips.read(index)
        results.append(_outputs(model, clouded_chip(chip, chips.bands, config, cover)[0] if cover else chip))
    return Outputs(**{name: np.stack([each[name] for each in results]) for name in results[0]})


def _outputs(model: MultiSensorModel, chip: Chip) -> Mapping[str, NDArray[Any]]:
    sar, optical = (torch.from_numpy(image)[None] for image in (chip.sar, chip.optical))
    sar_valid, optical_valid = (torch.from_numpy(valid)[None, None] for valid in (chip.sar_valid, chip.optical_valid))
    assert isinstance(model.fused, FloodModel)
    assert model.cloud_detector is not None
    inputs = model.fused.normalise(sar, optical, sar_valid, optical_valid)
    by_sar = logit_difference(model.sar(sar, None, sar_valid, None)) / model.sar.decisions.sar.temperature
    by_optical = logit_difference(model.optical(None, optical, None, optical_valid))
    return {
        "sar": by_sar[0].numpy(),
        "optical": (by_optical / model.optical.decisions.optical.temperature)[0].numpy(),
        "fused": logit_difference(model.fused.network(*inputs))[0].numpy(),
        "clouded": (model.cloud_detector(inputs) >= 0)[0, 0].numpy(),
        "sar_valid": chip.sar_valid,
        "optical_valid": chip.optical_valid,
        "label": chip.label,
    }


def _row(name: str, mask: str, cover: float, seeds: list[dict[str, Any]]) -> dict[str, Any]:
    mean = {key: statistics.mean(seed[key] for seed in seeds) for key in ("water_iou", "minus_better")}
    return {"variant": name, "mask": mask, "cover": cover, **mean, "each": seeds}


def _lines(rows: list[dict[str, Any]]) -> list[str]:
    lines = ["| variant | mask | cover | water IoU | minus the better sensor | worst run | lowest end of 95 % |"]
    lines.append("|---" * 7 + "|")
    for row in rows:
        worst, lowest = (
            min(seed) for seed in zip(*((s["minus_better"], s["ci95"][0]) for s in row["each"]), strict=True)
        )
        lines.append(
            f"| {row['variant']} | {row['mask']} | {row['cover']:.0%} | {row['water_iou']:.3f} | "
            f"{row['minus_better']:+.3f} | {worst:+.3f} | {lowest:+.3f} |"
        )
    return lines


if __name__ == "__main__":
    run_and_exit(app)
