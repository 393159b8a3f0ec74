"""Logistic regressions on water indices, scored on optical domains that were left out of the fit, beside NDWI > 0.

    python -m benchmarks.accuracy.optical_domains SOURCE CHIPS
    python -m benchmarks.accuracy.optical_index_models --chips CHIPS --seeds 0 1 2 --json FILE

Three models: NDWI alone, the indices and logarithms of ``spectral``, and these with their mean over 5x5 pixels. Each
is fitted to a sample of pixels, as many of each domain, and decides at a probability of one half.
"""

from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import torch.nn.functional as F
from cyclopts import App, Parameter
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.accuracy.optical_domains import DOMAINS
from benchmarks.accuracy.seeds import spread
from benchmarks.report import report
from floodseg.app.exit_codes import run_and_exit
from floodseg.bands import IGNORE
from floodseg.config.data import DataConfig
from floodseg.datasets.layouts import open_layout
from floodseg.evaluation.metrics.counts import Counts, ReliabilityBins, count
from floodseg.models.networks.spectral import WaterIndices

app = App(help="Logistic regressions on water indices.", default_parameter=Parameter(consume_multiple=True))
MODELS = ("ndwi", "indices", "indices-5x5")
PIXELS = 20_000
"""Sampled pixels of each domain; a domain with fewer labels is sampled with repetition."""
STEPS = 100
"""Largest number of iterations of L-BFGS."""

Chips = list[tuple[Tensor, NDArray[np.uint8]]]
"""Features (C, H, W) and label (H, W) of each chip; invalid pixels have the label 255."""


@app.default
def index_models(
    *,
    chips: Path,
    seeds: tuple[int, ...] = (0,),
    json_file: Annotated[Path | None, Parameter(name="--json")] = None,
) -> None:
    """Fit and score; print one JSON object.

    Parameters
    ----------
    chips
        Folder that optical_domains wrote.
    seeds
        Seeds of the samples of pixels.
    json_file
        Write the scores as one JSON object.
    """
    results: dict[str, Any] = {}
    for model in MODELS:
        data = {domain: _features(chips / domain, model) for domain in DOMAINS}
        domains = {domain: [_score(data, domain, seed) for seed in seeds] for domain in DOMAINS}
        results[model] = {
            domain: {key: spread([score[key] for score in scores]) for key in ("water_iou", "ece")}
            for domain, scores in domains.items()
        }
        for key in ("water_iou", "ece"):
            results[model][f"mean_{key}"] = sum(results[model][domain][key]["mean"] for domain in DOMAINS) / len(
                DOMAINS
            )
        print(model, {key: round(value, 3) for key, value in results[model].items() if key.startswith("mean")})
    report({"models": results}, json_file)


def _features(folder: Path, model: str) -> Chips:
    """Return features and labels of the chips of a domain."""
    chips = open_layout(DataConfig(data=folder, layout="folders", sensors="optical"), "all")
    found = []
    for index in range(len(chips.names)):
        chip = chips.read(index)
        valid = torch.from_numpy(chip.optical_valid)[None, None].float()
        features = WaterIndices()(torch.from_numpy(chip.optical)[None], valid)
        if model == "ndwi":
            features = features[:, :1]
        elif model == "indices-5x5":
            features = torch.cat((features, F.avg_pool2d(features, 5, 1, 2, count_include_pad=False)), dim=1)
        found.append((features[0], np.where(chip.optical_valid, chip.label, np.uint8(IGNORE))))
    return found


def _score(data: dict[str, Chips], left_out: str, seed: int) -> dict[str, float | None]:
    """Fit a regression to the other domains, and return its scores on one."""
    generator = np.random.default_rng(seed)
    samples = [_sample(data[domain], generator) for domain in DOMAINS if domain != left_out]
    weights = _fit(torch.cat([pixels for pixels, _ in samples]), torch.cat([water for _, water in samples]))
    counts, bins = Counts(), ReliabilityBins()
    for features, label in data[left_out]:
        log_odds = torch.einsum("chw,c->hw", features, weights[1:]) + weights[0]
        probability = log_odds.sigmoid().numpy()
        valid = label != IGNORE
        counts += count(probability >= 0.5, label, valid)
        bins.add(probability, label, valid)
    return {"water_iou": counts.water_iou, "ece": bins.ece}


def _sample(chips: Chips, generator: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Return the features (PIXELS, C) of random labelled pixels, and 1 for water."""
    pixels = torch.cat([features[:, torch.from_numpy(label != IGNORE)] for features, label in chips], dim=1)
    water = torch.cat([torch.from_numpy(label[label != IGNORE]) for _, label in chips]).float()
    chosen = torch.from_numpy(generator.integers(0, len(water), PIXELS))
    return pixels[:, chosen].T, water[chosen]


def _fit(pixels: Tensor, water: Tensor) -> Tensor:
    """Return intercept and weights (1 + C,) of a logistic regression with a weak penalty."""
    weights = torch.zeros(1 + pixels.shape[1], requires_grad=True)
    optimizer = torch.optim.LBFGS([weights], max_iter=STEPS, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        value = F.binary_cross_entropy_with_logits(pixels @ weights[1:] + weights[0], water)
        value = value + 1e-4 * weights[1:].square().sum()
        value.backward()  # type: ignore[no-untyped-call]
        return value

    optimizer.step(loss)  # type: ignore[no-untyped-call]
    return weights.detach()


if __name__ == "__main__":
    run_and_exit(app)
