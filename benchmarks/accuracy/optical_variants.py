"""Other ways to train ``spectral``, and the effect of the temperature on a domain that was left out.

    python -m benchmarks.accuracy.optical_domains SOURCE CHIPS
    python -m benchmarks.accuracy.optical_variants recipe:shanghai:0 penalty:shanghai:0 --source SOURCE \
        --chips CHIPS --runs runs/variants --json FILE

A run is VARIANT:DOMAIN:SEED. It is trained on the other domains, in float32 on one thread; its log-odds, without and
with the correction, are kept in the folder of the runs and reused. Epoch and validation parts are those of the recipe.
"""

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from cyclopts import App, Parameter
from numpy.typing import NDArray

from benchmarks.accuracy.optical_variant_training import VARIANTS, Run, open_chips, parts, reflectance_range, train
from benchmarks.report import report
from floodseg.app.exit_codes import run_and_exit
from floodseg.bands import IGNORE
from floodseg.evaluation.metrics.calibration import LogitDifferenceHistogram
from floodseg.models.checkpoint.zoo import load_model
from floodseg.models.model import FloodModel
from floodseg.models.networks.spectral import SpectralNet

app = App(help="Other ways to train the optical model.", default_parameter=Parameter(consume_multiple=True))
TEMPERATURES = (0.4, 0.5, 0.6, 0.7, 0.8, 1.0, 1.2)
SHARES = (1.0, 0.6, 0.5)
"""Shares of the correction that are added to the log-odds of NDWI."""


@app.default
def variants(
    *names: str,
    source: Path,
    chips: Path,
    runs: Path,
    recipe: Path = Path("recipes/s2.toml"),
    json_file: Annotated[Path | None, Parameter(name="--json")] = None,
) -> None:
    """Train and score; print one JSON object.

    Parameters
    ----------
    names
        Runs as VARIANT:DOMAIN:SEED; with the domain none, a run is trained on all domains.
    source
        Folder with unlabelled, whose two scenes one variant needs.
    chips
        Folder that optical_domains wrote.
    runs
        Folder of the log-odds.
    recipe
        Recipe of the training.
    json_file
        Write the scores as one JSON object.
    """
    torch.set_num_threads(1)
    results = []
    for variant, left_out, seed in (name.split(":") for name in names):
        run = Run(variant, left_out, int(seed))
        if not run.file(runs).is_file():
            settings = tomllib.loads(recipe.read_text())
            network = _shipped() if variant == "shipped" else train(run, chips, source, settings)
            runs.mkdir(parents=True, exist_ok=True)
            arrays: dict[str, Any] = dict(_log_odds(network, run, chips))
            np.savez_compressed(run.file(runs), **arrays)
        results.append(_scores(run, np.load(run.file(runs))))
        print(results[-1], flush=True)
    report({"recipe": str(recipe), "runs": results}, json_file)


def _shipped() -> SpectralNet:
    model = load_model("s2")
    assert isinstance(model, FloodModel)
    assert isinstance(model.network, SpectralNet)
    return model.network.eval()


def _log_odds(network: SpectralNet, run: Run, chips: Path) -> Iterator[tuple[str, NDArray[Any]]]:
    """Yield the arrays of the labelled pixels of the validation parts and of the domain that was left out.

    The names are SPLIT_base, SPLIT_correction and SPLIT_water.
    """
    low, high = reflectance_range(run, chips)
    splits = {"valid": open_chips(run.data(chips), "valid")}
    if run.left_out != "none":
        splits["left-out"] = open_chips(chips / run.left_out, "all")
    for split, found in splits.items():
        arrays: list[list[NDArray[Any]]] = [[], [], []]
        for chip in map(found.read, range(len(found.names))):
            counted = chip.optical_valid & (chip.label != IGNORE)
            valid = torch.from_numpy(chip.optical_valid)[None, None].float()
            image = torch.from_numpy(chip.optical)[None].clamp(low, high) * valid
            with torch.inference_mode():
                both = parts(network, image, valid, VARIANTS[run.variant].bound)
            for array, values in zip(arrays, (*(part[0, 0].numpy() for part in both), chip.label), strict=True):
                array.append(values[counted].astype(np.float16 if values.dtype == np.float32 else np.bool_))
        for name, array in zip(("base", "correction", "water"), arrays, strict=True):
            yield f"{split}_{name}", np.concatenate(array)


def _scores(run: Run, arrays: Any) -> dict[str, Any]:
    """Return the scores of a run for each share of the correction."""
    shares = {}
    for share in SHARES:
        histograms = {}
        for split in {name.split("_")[0] for name in arrays}:
            histograms[split] = histogram = LogitDifferenceHistogram()
            difference = arrays[f"{split}_base"] + np.float32(share) * arrays[f"{split}_correction"]
            water = arrays[f"{split}_water"].astype(np.uint8)
            histogram.add(difference, water, np.ones_like(water, np.bool_))
        temperature = histograms["valid"].fit_temperature()
        threshold, _ = histograms["valid"].best_threshold(temperature)
        shares[share] = {
            "temperature": temperature,
            "threshold": threshold,
            **{
                split: {
                    "water_iou": histogram.counts_at(threshold, temperature).water_iou,
                    "ece": histogram.reliability(temperature).ece,
                    "ece_by_temperature": {each: histogram.reliability(each).ece for each in TEMPERATURES},
                }
                for split, histogram in histograms.items()
            },
        }
    return {"variant": run.variant, "left_out": run.left_out, "seed": run.seed, "shares": shares}


if __name__ == "__main__":
    run_and_exit(app)
