"""Scores on optical domains, and on blocks of dfc24, that were left out of training, beside those of NDWI.

    python -m benchmarks.accuracy.optical_domains SOURCE CHIPS
    python -m benchmarks.accuracy.leave_one_domain_out recipes/s2.toml --chips CHIPS --runs runs/domains \
        --seeds 0 1 2 3 4 5 6 7 8 --json FILE

For each domain and seed, one run is trained on the other domains. Its epoch, offset and temperature come from parts of
these. The model is then scored on all chips of the domain. For each set of blocks, runs of the first three seeds
are trained on all other chips. Finished runs are reused, interrupted runs are resumed.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from cyclopts import App, Parameter
from numpy.typing import NDArray

from benchmarks.accuracy.optical_domains import BLOCK_SETS, DOMAINS
from benchmarks.accuracy.seeds import spread
from benchmarks.accuracy.trainings import finished_run
from benchmarks.report import report
from floodseg.app.exit_codes import run_and_exit
from floodseg.config.data import DataConfig
from floodseg.evaluation.evaluate import evaluate
from floodseg.evaluation.metrics.counts import ChipScore, resamples

app = App(help="Scores on data left out of training.", default_parameter=Parameter(consume_multiple=True))
BLOCK_SEEDS = 3
"""Number of seeds of the trainings without a set of blocks, at most."""
FIELDS = ("water_iou", "water_iou_ci95", "precision", "recall", "ece", "threshold", "n_chips_counted", "n_pixels")


@app.default
def leave_one_domain_out(
    recipe: Path,
    *,
    chips: Path,
    runs: Path,
    seeds: tuple[int, ...] = (0,),
    json_file: Annotated[Path | None, Parameter(name="--json")] = None,
) -> None:
    """Train and score; print a table and one JSON object.

    Parameters
    ----------
    recipe
        Recipe of all trainings.
    chips
        Folder that optical_domains wrote.
    runs
        Folder of the runs, which are named without-DOMAIN-SEED and without-blocks-N-SEED.
    seeds
        Seeds of the trainings.
    json_file
        Write the scores as one JSON object.
    """

    def scores(left_out: str, seeds: tuple[int, ...]) -> dict[str, Any]:
        data = chips / f"without-{left_out}"
        flags = {seed: ["--data", str(data), "--seed", str(seed)] for seed in seeds}
        trained = {seed: finished_run(recipe, runs / f"{data.name}-{seed}", flags[seed]) for seed in seeds}
        return _scores(trained, chips / left_out)

    domains = [scores(domain, seeds) for domain in DOMAINS]
    blocks = [scores(f"blocks-{number}", seeds[:BLOCK_SEEDS]) for number in range(BLOCK_SETS)]
    means = {
        "ndwi": sum(domain["ndwi"]["water_iou"] for domain in domains) / len(domains),
        "water_iou": _mean_over_domains(domains, "water_iou"),
        "ece": _mean_over_domains(domains, "ece"),
    }
    print(_table(domains, means))
    print(f"blocks left out: ECE {', '.join(_cell(block['ece']) for block in blocks)}")
    report({"recipe": str(recipe), "means": means, "domains": domains, "blocks": blocks}, json_file)


def _scores(runs: dict[int, Path], left_out: Path) -> dict[str, Any]:
    """Return the scores of the runs of all seeds and of NDWI on chips that the runs were not trained on."""
    config = DataConfig(data=left_out, layout="folders", sensors="optical")
    ndwi = evaluate("ndwi", config=config, split="all")
    rows, models = [], []
    for seed, run in runs.items():
        scored = evaluate(run, config=config, split="all")
        models.append(scored.chips)
        rows.append(
            {"seed": seed, **{field: scored.document[field] for field in FIELDS}}
            | {"minus_ndwi": _mean_difference([scored.chips], ndwi.chips)}
        )
    return {
        "left_out": left_out.name,
        "ndwi": {field: ndwi.document[field] for field in ("water_iou", "water_iou_ci95", "precision", "recall")},
        "water_iou": spread([row["water_iou"] for row in rows]),
        "minus_ndwi": _mean_difference(models, ndwi.chips),
        "ece": spread([row["ece"] for row in rows]),
        "seeds": rows,
    }


def _mean_difference(models: Sequence[Sequence[ChipScore]], ndwi: Sequence[ChipScore]) -> dict[str, Any]:
    """Return the difference of the mean water IoU of the models from NDWI, with its interval.

    The interval is the percentile bootstrap over chips with labels. Each draw has the same chips for all maps. Draws in
    which a map has no water IoU are left out.
    """

    def ious(chips: Sequence[ChipScore]) -> NDArray[np.float64]:
        counts = [chip.counts for chip in chips if chip.counts.n]
        intersection = draws @ np.array([each.tp for each in counts])
        union = draws @ np.array([each.tp + each.fp + each.fn for each in counts])
        return np.asarray(intersection / union, np.float64)

    assert all([chip.name for chip in chips] == [chip.name for chip in ndwi] for chips in models)
    n_chips = sum(chip.counts.n > 0 for chip in ndwi)
    # the first row is the sample itself
    draws = np.vstack((np.ones((1, n_chips), np.int64), resamples(n_chips, seed=0)))
    with np.errstate(invalid="ignore"):
        differences = np.mean([ious(chips) for chips in models], axis=0) - ious(ndwi)
    low, high = np.nanpercentile(differences[1:], [2.5, 97.5])
    return {"difference": float(differences[0]), "ci95": [float(low), float(high)]}


def _mean_over_domains(domains: list[dict[str, Any]], field: str) -> dict[str, Any]:
    """Return the mean over the domains, each once, over the seeds."""
    by_seed = zip(*(domain[field]["each"] for domain in domains), strict=True)
    return spread([sum(values) / len(values) for values in by_seed])


def _table(domains: list[dict[str, Any]], means: dict[str, Any]) -> str:
    lines = ["| left out | NDWI > 0 | model | mean difference (95 %) | each seed | ECE |", "|---" * 6 + "|"]
    for domain in domains:
        each_seed = "; ".join(_difference(row["minus_ndwi"]) for row in domain["seeds"])
        lines.append(
            f"| {domain['left_out']} | {domain['ndwi']['water_iou']:.3f} | {_cell(domain['water_iou'])} "
            f"| {_difference(domain['minus_ndwi'])} | {each_seed} | {_cell(domain['ece'])} |"
        )
    lines.append(f"| mean | {means['ndwi']:.3f} | {_cell(means['water_iou'])} | | | {_cell(means['ece'])} |")
    return "\n".join(lines)


def _difference(difference: dict[str, Any]) -> str:
    low, high = difference["ci95"]
    return f"{difference['difference']:+.3f} ({low:+.3f} to {high:+.3f})"


def _cell(spread: dict[str, Any]) -> str:
    deviation = "" if spread["std"] is None else f" +- {spread['std']:.3f}"
    return f"{spread['mean']:.3f}{deviation}"


if __name__ == "__main__":
    run_and_exit(app)
