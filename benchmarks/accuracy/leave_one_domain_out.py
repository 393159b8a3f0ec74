"""Scores on optical domains that were left out of training, beside those of NDWI.

    python -m benchmarks.accuracy.optical_domains SOURCE CHIPS
    python -m benchmarks.accuracy.leave_one_domain_out recipes/s2.toml --chips CHIPS --runs runs/domains \
        --seeds 0 1 2 --json FILE

For each domain and seed, one run is trained on the other domains. Its epoch, threshold and temperature come from parts
of these. The model is then scored on all chips of the domain. Finished runs are reused, interrupted runs are resumed.
"""

import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, Parameter

from benchmarks.accuracy.optical_domains import DOMAINS
from benchmarks.accuracy.seeds import spread
from benchmarks.report import report
from floodseg.app.exit_codes import run_and_exit
from floodseg.config.data import DataConfig
from floodseg.errors import ConfigError
from floodseg.evaluation.evaluate import evaluate
from floodseg.evaluation.metrics.bootstrap import Pair, paired_difference

app = App(help="Scores on domains that were left out of training.", default_parameter=Parameter(consume_multiple=True))
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
        Folder of the runs, which are named without-DOMAIN-SEED.
    seeds
        Seeds of the trainings.
    json_file
        Write the scores as one JSON object.
    """
    domains = [_scores_of_domain(recipe, chips, runs, domain, seeds) for domain in DOMAINS]
    means = {
        "ndwi": sum(domain["ndwi"]["water_iou"] for domain in domains) / len(domains),
        "water_iou": _mean_over_domains(domains, "water_iou"),
        "ece": _mean_over_domains(domains, "ece"),
    }
    print(_table(domains, means))
    report({"recipe": str(recipe), "means": means, "domains": domains}, json_file)


def _scores_of_domain(recipe: Path, chips: Path, runs: Path, domain: str, seeds: tuple[int, ...]) -> dict[str, Any]:
    """Return the scores of the models of all seeds and of NDWI on a domain that the models were not trained on."""
    config = DataConfig(data=chips / domain, layout="folders", sensors="optical")
    ndwi = evaluate("ndwi", config=config, split="all")
    rows = []
    for seed in seeds:
        run = _run(recipe, runs / f"without-{domain}-{seed}", chips / f"without-{domain}", seed)
        scored = evaluate(run, config=config, split="all")
        pairs = [Pair(one.name, one.counts, other.counts) for one, other in zip(scored.chips, ndwi.chips, strict=True)]
        difference = paired_difference(pairs)
        rows.append(
            {"seed": seed, **{field: scored.document[field] for field in FIELDS}}
            | {"minus_ndwi": difference and difference.to_json()}
        )
    return {
        "domain": domain,
        "ndwi": {field: ndwi.document[field] for field in ("water_iou", "water_iou_ci95", "precision", "recall")},
        "water_iou": spread([row["water_iou"] for row in rows]),
        "ece": spread([row["ece"] for row in rows]),
        "seeds": rows,
    }


def _run(recipe: Path, folder: Path, data: Path, seed: int) -> Path:
    """Train in a subprocess, unless the run is finished."""
    if not (folder / "summary.json").is_file():
        resume = ["--resume"] if (folder / "state").is_dir() else []
        flags = ["--data", str(data), "--seed", str(seed), "--out-dir", str(folder), *resume]
        command = [sys.executable, "-m", "floodseg", "train", str(recipe), *flags]
        if subprocess.run(command, check=False).returncode:
            raise ConfigError(f"{folder}: the training failed; correct the reported error and start again")
    return folder


def _mean_over_domains(domains: list[dict[str, Any]], field: str) -> dict[str, Any]:
    """Return the mean over the domains, each once, over the seeds."""
    by_seed = zip(*(domain[field]["each"] for domain in domains), strict=True)
    return spread([sum(values) / len(values) for values in by_seed])


def _table(domains: list[dict[str, Any]], means: dict[str, Any]) -> str:
    lines = ["| left out | NDWI > 0 | model | difference (95 %), each seed | ECE |", "|---" * 5 + "|"]
    for domain in domains:
        differences = "; ".join(
            f"{row['minus_ndwi']['difference']:+.3f} ({row['minus_ndwi']['ci95'][0]:+.3f} to "
            f"{row['minus_ndwi']['ci95'][1]:+.3f})"
            for row in domain["seeds"]
        )
        lines.append(
            f"| {domain['domain']} | {domain['ndwi']['water_iou']:.3f} | {_cell(domain['water_iou'])} | {differences} "
            f"| {_cell(domain['ece'])} |"
        )
    lines.append(f"| mean | {means['ndwi']:.3f} | {_cell(means['water_iou'])} | | {_cell(means['ece'])} |")
    return "\n".join(lines)


def _cell(spread: dict[str, Any]) -> str:
    deviation = "" if spread["std"] is None else f" +- {spread['std']:.3f}"
    return f"{spread['mean']:.3f}{deviation}"


if __name__ == "__main__":
    run_and_exit(app)
