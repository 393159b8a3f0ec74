"""Mean and standard deviation of the scores of runs with different seeds, for several groups of runs.

    python -m benchmarks.accuracy.compare_runs --layout ombria --data DIR --json FILE \
        fused=both:runs/both-0,runs/both-1 "fused, only radar=sar:runs/both-0,runs/both-1"

Each group is NAME=SENSORS:RUN,RUN,...; every run is scored on the validation split with its stored thresholds. With
--written, the scores are read from each run's summary.json, which needs neither data nor weights.
"""

import json
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, Parameter

from benchmarks.accuracy.seeds import spread
from benchmarks.report import report
from floodseg.app.exit_codes import run_and_exit
from floodseg.bands import SENSOR_SETS, SensorSet
from floodseg.config.data import DataConfig
from floodseg.errors import ConfigError
from floodseg.evaluation.evaluate import evaluate
from floodseg.models.checkpoint.zoo import load_model

app = App(help="Scores of runs over seeds.", default_parameter=Parameter(consume_multiple=True))
_SCORES = ("water_iou", "miou", "f1", "ece")
_COSTS = ("seconds", "peak_memory_mb", "parameters")


@app.default
def compare_runs(
    *groups: str,
    config: Annotated[DataConfig, Parameter(name="*")] = DataConfig(),  # noqa: B008 (frozen: cannot be changed)
    written: bool = False,
    json_file: Annotated[Path | None, Parameter(name="--json")] = None,
) -> None:
    """Score groups of runs on the validation split.

    Parameters
    ----------
    groups
        NAME=SENSORS:RUN,RUN,... with SENSORS both, sar or optical.
    written
        Take the scores in each run's summary.json. Settings of data then have no effect.
    json_file
        Write the scores as one JSON object.
    """
    if written and config != DataConfig():
        raise ConfigError("--written: settings of data have no effect on stored scores; leave them out")
    report({"groups": [_group(text, config, written) for text in groups]}, json_file)


def _group(text: str, config: DataConfig, written: bool) -> dict[str, Any]:
    name, _, rest = text.partition("=")
    sensors, _, runs = rest.partition(":")
    chosen = next((known for known in SENSOR_SETS if known == sensors), None)
    if chosen is None or not runs:
        raise ConfigError(f"group '{text}': must be NAME=SENSORS:RUN,RUN,... with SENSORS both, sar or optical")
    folders = [Path(run) for run in runs.split(",")]
    unfinished = [folder for folder in folders if not (folder / "summary.json").is_file()]
    if unfinished:
        raise ConfigError(f"group '{name}': {unfinished[0]} is not a finished run; finish its training first")
    summaries = [json.loads((folder / "summary.json").read_text()) for folder in folders]
    if written:
        _require_same_chips(folders, chosen)
        scores = [summary["valid"] for summary in summaries]
    else:
        scores = [_score(folder, replace(config, sensors=chosen)) for folder in folders]
    return {
        "name": name,
        "sensors": chosen,
        "seeds": len(folders),
        **{key: spread([score[key] for score in scores]) for key in _SCORES if key in scores[0]},
        **{key: [summary[key] for summary in summaries] for key in _COSTS},
        "trained_on": [{key: summary[key] for key in ("hardware", "versions")} for summary in summaries],
    }


def _require_same_chips(folders: list[Path], sensors: SensorSet) -> None:
    """Raise ConfigError if stored scores are of other sensors or other chips than those of the first run."""
    first_chips = None
    for folder in folders:
        settings = tomllib.loads((folder / "config.toml").read_text())
        trained = settings.get("sensors", "both")
        if trained != sensors:
            raise ConfigError(
                f"--written: {folder} was trained and scored on {trained}, not on {sensors}; leave it out"
            )
        chips = [settings.get(key) for key in ("layout", "hold_out_event", "val_split", "split_seed")]
        first_chips = first_chips or chips
        if chips != first_chips:
            raise ConfigError(
                f"--written: {folder} was scored on other chips than {folders[0]}; compare runs of the same"
            )


def _score(folder: Path, config: DataConfig) -> dict[str, float]:
    document = evaluate(load_model(folder), config=config, split="valid").document
    return {key: document[key] for key in _SCORES}


if __name__ == "__main__":
    run_and_exit(app)
