"""Effect of averaging several models: their weights, or their probabilities.

    python -m benchmarks.accuracy.ensembles runs/taught-0 runs/taught-1 runs/taught-2 --soup 3 --data DIR --json FILE

Radar models are scored on the validation split, each with its own temperature, at the best threshold. Weights can only
be averaged over models that were trained from the same initial weights (Wortsman et al. 2022, "Model soups").
"""

from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import Annotated, Any

import torch
from cyclopts import App, Parameter
from torch import Tensor

from benchmarks.report import report
from floodseg.app.exit_codes import run_and_exit
from floodseg.chips.loader import Sample, make_loader
from floodseg.config.base import require
from floodseg.config.data import DataConfig
from floodseg.datasets.layouts import open_layout
from floodseg.errors import ConfigError
from floodseg.evaluation.forward import forward
from floodseg.evaluation.metrics.histograms import SensorHistograms
from floodseg.models.checkpoint.zoo import load_model
from floodseg.models.model import FloodModel

app = App(help="Effect of averaging models.", default_parameter=Parameter(consume_multiple=True))
_MIN_PROBABILITY = 1e-6
"""Probabilities are clipped to this distance from 0 and 1 before the logarithm."""


@app.default
def ensembles(
    *models: str,
    config: Annotated[DataConfig, Parameter(name="*")] = DataConfig(layout="sen1floods11", sensors="sar"),  # noqa: B008 (frozen)
    soup: int = 0,
    json_file: Annotated[Path | None, Parameter(name="--json")] = None,
) -> None:
    """Score models, means of their probabilities and of their weights; print one JSON object.

    Parameters
    ----------
    models
        Names of shipped models or run folders, at least two.
    soup
        Number of models, from the first, whose weights are averaged; 0 averages none.
    json_file
        Write the scores as one JSON object.
    """
    if len(models) < 2:
        raise ConfigError(f"{len(models)} models: at least two are needed; name more")
    require(soup == 0 or 2 <= soup <= len(models), "soup", soup, f"0, or from 2 to the {len(models)} models")
    require(config.sensors == "sar", "sensors", config.sensors, "sar: temperatures are those of radar")
    batches = list(make_loader(open_layout(config, "valid"), augment=None))
    loaded = [load_model(name) for name in models]
    probabilities = [_probabilities(model, batches) for model in loaded]
    best = {
        f"{count} of {len(models)}": _best(probabilities, models, batches, count) for count in range(1, len(models) + 1)
    }
    soup_score = _score(_probabilities(_mean_of_weights(loaded[:soup]), batches), batches) if soup else None
    report(
        {"models": models, "best": best, "mean_of_weights": {"models": models[:soup], "water_iou": soup_score}},
        json_file,
    )


@torch.no_grad()
def _probabilities(model: FloodModel, batches: Sequence[Sample]) -> list[Tensor]:
    temperature = model.decisions.sar.temperature
    return [(forward(model.eval(), batch).float() / temperature).softmax(1) for batch in batches]


def _best(
    members: Sequence[list[Tensor]], names: Sequence[str], batches: Sequence[Sample], count: int
) -> dict[str, Any]:
    """Return the best mean of the probabilities of ``count`` models, and the average score of all such means."""
    scores = {
        chosen: _score([torch.stack(chip).mean(0) for chip in zip(*(members[i] for i in chosen), strict=True)], batches)
        for chosen in combinations(range(len(members)), count)
    }
    best = max(scores, key=lambda chosen: scores[chosen])
    mean = sum(scores.values()) / len(scores)
    return {"water_iou": scores[best], "models": [names[i] for i in best], "mean_of_all_choices": mean}


def _score(probabilities: Sequence[Tensor], batches: Sequence[Sample]) -> float:
    histograms = SensorHistograms()
    for each, batch in zip(probabilities, batches, strict=True):
        histograms.add(each.clamp(_MIN_PROBABILITY, 1 - _MIN_PROBABILITY).log(), batch)
    return histograms.total().best_threshold()[1] or 0.0


def _mean_of_weights(models: Sequence[FloodModel]) -> FloodModel:
    """Load the mean of all models' weights into the first model, and return it."""
    states = [model.state_dict() for model in models]
    mean = {
        name: torch.stack([state[name] for state in states]).mean(0) if value.is_floating_point() else value
        for name, value in states[0].items()
    }
    models[0].load_state_dict(mean)
    return models[0]


if __name__ == "__main__":
    run_and_exit(app)
