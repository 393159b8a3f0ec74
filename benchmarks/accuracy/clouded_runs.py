"""Scores of runs with different seeds under simulated clouds: both sensors compared with the better one.

    python -m benchmarks.accuracy.clouded_runs RUN RUN RUN --layout ombria --data DIR --json FILE

Each run is scored as in ``floodseg evaluate --cloud``, for several cloud covers and every quality of cloud mask.
"""

import statistics
from pathlib import Path
from typing import Annotated, Any, get_args

from cyclopts import App, Parameter

from benchmarks.report import report
from floodseg.app.exit_codes import run_and_exit
from floodseg.config.base import CloudMaskQuality
from floodseg.config.data import DataConfig
from floodseg.config.evaluate import ScoreConfig
from floodseg.errors import ConfigError
from floodseg.evaluation.evaluate import evaluate
from floodseg.models.checkpoint.zoo import load_model

app = App(help="Scores of runs under simulated clouds.", default_parameter=Parameter(consume_multiple=True))
COVERS = (0.0, 0.1, 0.25, 0.5, 0.75, 1.0)
_SENSORS = ("both", "sar", "optical")


@app.default
def clouded_runs(
    *runs: Path,
    config: Annotated[DataConfig, Parameter(name="*")] = DataConfig(),  # noqa: B008 (frozen: cannot be changed)
    json_file: Annotated[Path | None, Parameter(name="--json")] = None,
) -> None:
    """Score runs on the validation split under simulated clouds; print a table and one JSON object.

    Parameters
    ----------
    runs
        Run folders of models of both sensors.
    json_file
        Write the scores as one JSON object.
    """
    if not runs:
        raise ConfigError("no run: name one or more run folders")
    rows = [row for quality in get_args(CloudMaskQuality) for row in _rows(runs, quality, config)]
    print(_table(rows))
    report({"runs": len(runs), "rows": rows}, json_file)


def _rows(runs: tuple[Path, ...], quality: CloudMaskQuality, config: DataConfig) -> list[dict[str, Any]]:
    scoring = ScoreConfig(cloud=COVERS, cloud_mask_quality=quality)
    documents = [
        evaluate(load_model(run), config=config, split="valid", scoring=scoring).document["clouds"] for run in runs
    ]
    return [_row(list(each)) for each in zip(*documents, strict=True)]


def _row(seeds: list[dict[str, Any]]) -> dict[str, Any]:
    differences = [seed["fused_minus_better"] for seed in seeds if seed["fused_minus_better"]]
    return {
        "mask": seeds[0]["mask_quality"],
        "cover": seeds[0]["cover"],
        **{name: _mean([seed[name]["water_iou"] for seed in seeds]) for name in _SENSORS},
        "fused_minus_better": _mean([each["difference"] for each in differences]),
        "each": differences,
    }


def _mean(values: list[float | None]) -> float | None:
    """Return the mean, or None if a score is undefined, as for a completely masked image."""
    defined = [value for value in values if value is not None]
    return statistics.mean(defined) if len(defined) == len(values) and values else None


def _table(rows: list[dict[str, Any]]) -> str:
    lines = ["| mask | cover | both | radar | optical | both minus the better | lowest end of 95 % |", "|---" * 7 + "|"]
    for row in rows:
        scores = ("-" if row[name] is None else f"{row[name]:.3f}" for name in _SENSORS)
        lowest = min((each["ci95"][0] for each in row["each"]), default=None)
        gain = "- | -" if lowest is None else f"{row['fused_minus_better']:+.3f} | {lowest:+.3f}"
        lines.append(f"| {row['mask']} | {row['cover']:.0%} | {' | '.join(scores)} | {gain} |")
    return "\n".join(lines)


if __name__ == "__main__":
    run_and_exit(app)
