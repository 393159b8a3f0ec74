"""Rules for the weights with which the log-odds of a radar model and an optical model are fused.

    python -m benchmarks.accuracy.fusion_weights --sar runs/sar-* --optical runs/optical-* --data DIR --layout ombria
        --json FILE

Each pair of models (one for each seed) maps the validation chips of OMBRIA, each with its own sensor. Each rule gives
the weights, the bias and the threshold of the fused answer from one half of the blocks of chips; the other half is
scored, and the counts of both halves are summed. Only pixels where both sensors are valid are scored.

* ``equal``: the mean of the log-odds.
* ``sum``: the sum, less the log-odds of the share of water, as if the errors of the sensors were independent.
* ``posterior``: ``sum``, with the mean of the thresholds of both models, in log-odds, as its threshold.
* ``worth``: the mean, weighted by the share of the entropy of the labels that each model explains.
* ``worth_sum``: twice ``worth``, less the log-odds of the share of water: the sum with these weights.
* ``fitted``: a logistic regression on pixels with both sensors, which needs labelled pairs of images.

Where nothing else is stated, the threshold is the fused answer of the thresholds of the two models. Threshold and
temperature of each model come from the same half as the weights.
"""

from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev
from typing import Annotated, Any

import numpy as np
from cyclopts import App, Parameter
from numpy.typing import NDArray
from scipy.optimize import minimize

from benchmarks.report import report
from floodseg.app.exit_codes import run_and_exit
from floodseg.bands import IGNORE, SENSORS, WATER, Sensor
from floodseg.chips.chip import Chip
from floodseg.config.data import DataConfig
from floodseg.datasets.screening import open_usable
from floodseg.errors import ConfigError
from floodseg.evaluation.evaluate import restrict_to_method
from floodseg.evaluation.methods import model_method
from floodseg.evaluation.metrics.calibration import LogitDifferenceHistogram
from floodseg.evaluation.metrics.counts import Counts, ReliabilityBins, count
from floodseg.models.checkpoint.zoo import load_model
from floodseg.models.log_odds_fusion import LogOddsFusion

app = App(help="Compare rules for the fusion of two models.", default_parameter=Parameter(consume_multiple=True))
_SETS_PER_BLOCK = 20
"""Neighbouring numbers of OMBRIA's sets may be neighbouring places. Halves consist of blocks, as the splits do."""
_FITTED_STRIDE = 7
"""Every seventh pixel is enough for the logistic regression."""

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Pixels:
    """Pixels of all chips of a split, (N,) each."""

    sar: Array
    """Logit difference of the radar model."""
    optical: Array
    """The same of the optical model."""
    label: NDArray[np.uint8]
    """0 land, 1 water."""
    half: NDArray[np.bool_]
    """Half of the blocks to which the chip of the pixel belongs."""

    def of_half(self, half: bool) -> "Pixels":
        """Return the pixels of one half."""
        chosen = self.half == half
        return Pixels(self.sar[chosen], self.optical[chosen], self.label[chosen], self.half[chosen])


@dataclass(frozen=True)
class Calibrated:
    """Temperature, threshold and worth of a model."""

    temperature: float
    log_odds_at_threshold: float
    worth: float
    """Share of the entropy of the labels that the model explains."""


@app.default
def fusion_weights(
    *,
    sar: tuple[str, ...],
    optical: tuple[str, ...],
    config: Annotated[DataConfig, Parameter(name="*")] = DataConfig(),  # noqa: B008 (frozen)
    json_file: Annotated[Path | None, Parameter(name="--json")] = None,
) -> None:
    """Score each rule on each pair of models, and print one JSON object.

    Parameters
    ----------
    sar
        Run folders of radar models, one for each seed.
    optical
        Run folders of optical models, in the same order.
    json_file
        Write the scores as one JSON object.
    """
    if len(sar) != len(optical):
        raise ConfigError(f"{len(sar)} radar and {len(optical)} optical models: must be as many; name pairs")
    seeds = [_scores(_pixels(radar, image, config)) for radar, image in zip(sar, optical, strict=True)]
    scores = [seed["scores"] for seed in seeds]
    summary = {
        name: {
            "water_iou": mean(seed[name]["water_iou"] for seed in scores),
            "standard_deviation": stdev(seed[name]["water_iou"] for seed in scores) if len(seeds) > 1 else None,
            "gain_over_better_sensor": [
                seed[name]["water_iou"] - max(seed[sensor]["water_iou"] for sensor in SENSORS) for seed in scores
            ],
            "ece": mean(seed[name]["ece"] for seed in scores),
        }
        for name in scores[0]
    }
    report({"rules": summary, "seeds": seeds}, json_file)


def _pixels(sar: str, optical: str, config: DataConfig) -> Pixels:
    """Return the labelled pixels of the validation chips at which both sensors are valid."""
    maps: dict[Sensor, dict[str, tuple[Array, Chip]]] = {}
    for sensor, model in zip(SENSORS, (sar, optical), strict=True):
        method = model_method(load_model(model), model)
        chips = open_usable(restrict_to_method(method, config, "valid"), "valid").chips
        maps[sensor] = {}
        for index in range(len(chips.names)):
            chip = chips.read(index)
            differences = method.apply(chip, chips.bands).logit_differences
            assert differences is not None
            maps[sensor][chip.name] = differences, chip
    parts: list[Pixels] = []
    for name in sorted(maps["sar"].keys() & maps["optical"].keys()):
        (by_sar, radar), (by_optical, image) = maps["sar"][name], maps["optical"][name]
        both = radar.sar_valid & image.optical_valid & (radar.label != IGNORE)
        half = np.full(int(both.sum()), int(name.rsplit("_", 1)[-1]) // _SETS_PER_BLOCK % 2 == 1)
        parts.append(Pixels(by_sar[both], by_optical[both], radar.label[both], half))
    return Pixels(*(np.concatenate([getattr(part, name) for part in parts]) for name in Pixels.__annotations__))


def _scores(pixels: Pixels) -> dict[str, Any]:
    """Return the water IoU of each sensor and each rule, and the rules of both halves."""
    totals: dict[str, Counts] = {}
    bins: dict[str, ReliabilityBins] = {}
    rules = []
    for half in (False, True):
        fitted, scored = pixels.of_half(half), pixels.of_half(not half)
        models = {sensor: _calibrate(getattr(fitted, sensor), fitted.label) for sensor in SENSORS}
        log_odds: dict[str, Array] = {
            sensor: getattr(scored, sensor) / models[sensor].temperature for sensor in SENSORS
        }
        limits = {sensor: models[sensor].log_odds_at_threshold for sensor in SENSORS}
        water: dict[str, NDArray[np.bool_]] = {sensor: log_odds[sensor] >= limits[sensor] for sensor in SENSORS}
        for name, (fusion, limit) in _rules(fitted, models).items():
            log_odds[name] = fusion.combine(log_odds["sar"], log_odds["optical"])
            water[name] = log_odds[name] >= limit
            rules.append({"half": half, "rule": name, **fusion.to_json(), "log_odds_at_threshold": limit})
        for name, mask in water.items():
            totals[name] = totals.get(name, Counts()) + count(mask, scored.label, np.ones_like(mask))
            bins.setdefault(name, ReliabilityBins()).add(
                (1 / (1 + np.exp(-log_odds[name]))).astype(np.float32), scored.label, np.ones_like(mask)
            )
    scores = {name: {"water_iou": totals[name].water_iou, "ece": bins[name].ece} for name in totals}
    return {"scores": scores, "rules": rules}


def _calibrate(differences: Array, label: NDArray[np.uint8]) -> Calibrated:
    histogram = LogitDifferenceHistogram()
    histogram.add(differences, label, np.ones(label.shape, np.bool_))
    temperature = histogram.fit_temperature()
    threshold, _ = histogram.best_threshold(temperature)
    loss = float(np.logaddexp(0, np.where(label == WATER, -1, 1) * differences.astype(np.float64) / temperature).mean())
    return Calibrated(temperature, _log_odds(threshold), 1 - loss / _entropy(float((label == WATER).mean())))


def _rules(pixels: Pixels, models: dict[Sensor, Calibrated]) -> dict[str, tuple[LogOddsFusion, float]]:
    """Return the fusion of each rule, and the fused log-odds at its threshold."""
    sar, optical = models["sar"], models["optical"]
    share = sar.worth / (sar.worth + optical.worth)
    prior = _log_odds(float((pixels.label == WATER).mean()))
    plain = {
        "equal": LogOddsFusion(0.5, 0.5, 0.0),
        "sum": LogOddsFusion(1.0, 1.0, -prior),
        "worth": LogOddsFusion(share, 1 - share, 0.0),
        "worth_sum": LogOddsFusion(2 * share, 2 - 2 * share, -prior),
    }
    rules = {
        name: (fusion, float(fusion.sar_weight * sar.log_odds_at_threshold
                             + fusion.optical_weight * optical.log_odds_at_threshold + fusion.bias))
        for name, fusion in plain.items()
    }  # fmt: skip
    posterior_limit = (sar.log_odds_at_threshold + optical.log_odds_at_threshold) / 2
    rules["posterior"] = plain["sum"], posterior_limit
    fitted = _fit(pixels.sar / sar.temperature, pixels.optical / optical.temperature, pixels.label)
    fused = fitted.combine(pixels.sar / np.float32(sar.temperature), pixels.optical / np.float32(optical.temperature))
    calibrated = _calibrate(fused, pixels.label)
    return {**rules, "fitted": (fitted, calibrated.log_odds_at_threshold * calibrated.temperature)}


def _fit(sar: Array, optical: Array, label: NDArray[np.uint8]) -> LogOddsFusion:
    inputs = np.stack([sar, optical, np.ones_like(sar)])[:, ::_FITTED_STRIDE].astype(np.float64)
    signs = np.where(label[::_FITTED_STRIDE] == WATER, 1.0, -1.0)

    def loss(weights: NDArray[np.float64]) -> float:
        return float(np.logaddexp(0, -signs * (weights @ inputs)).mean())

    sar_weight, optical_weight, bias = minimize(loss, [0.5, 0.5, 0.0]).x
    return LogOddsFusion(max(0.0, sar_weight), max(0.0, optical_weight), bias)


def _log_odds(probability: float) -> float:
    return float(np.log(probability) - np.log1p(-probability))


def _entropy(share: float) -> float:
    return float(-share * np.log(share) - (1 - share) * np.log1p(-share))


if __name__ == "__main__":
    run_and_exit(app)
