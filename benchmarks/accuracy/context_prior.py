"""What the context prior is worth on events that a model never saw, and on the validation split.

    python -m benchmarks.accuracy.context_prior runs/events --models s1-lite s1-efficient --data DIR --json FILE

RUNS holds the runs of ``leave_one_event_out.py``. Each is scored on all chips of the event that it never saw, by the
threshold that it stores, without the prior and with each strength; nothing there was chosen on that event. The models
are calibrated anew with each strength on the validation split, and scored on it.
"""

import statistics
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, Parameter

from benchmarks.report import report
from floodseg.app.exit_codes import run_and_exit
from floodseg.chips.loader import make_loader
from floodseg.config.train import DataConfig
from floodseg.datasets.layouts import open_layout
from floodseg.distributed.processes import Processes
from floodseg.errors import ConfigError
from floodseg.evaluation.evaluate import evaluate
from floodseg.evaluation.metrics.counts import Counts
from floodseg.models.checkpoint.zoo import load_model
from floodseg.training.validation import calibrate

app = App(help="What the context prior is worth.", default_parameter=Parameter(consume_multiple=True))


@app.default
def context_prior(
    runs: Path,
    *,
    config: Annotated[DataConfig, Parameter(name="*")] = DataConfig(layout="sen1floods11", sensors="sar"),  # noqa: B008 (frozen)
    models: tuple[str, ...] = ("s1-lite", "s1-efficient"),
    strengths: tuple[float, ...] = (0.0, 0.2, 0.3, 0.4, 0.5),
    seeds: tuple[int, ...] = (0,),
    json_file: Annotated[Path | None, Parameter(name="--json")] = None,
) -> None:
    """Score runs and models with priors of several strengths; prints the tables and one JSON object.

    Parameters
    ----------
    runs
        Folder of the runs EVENT-SEED.
    models
        Shipped names or runs to be calibrated anew.
    strengths
        Of the prior; 0 is none.
    seeds
        Of the runs; their scores are averaged.
    json_file
        Write the scores as one JSON object.
    """
    events = sorted(set(open_layout(config, "valid").events))
    names = [f"{event}-{seed}" for event in events for seed in seeds]
    missing = [name for name in names if not (runs / name).is_dir()]
    if missing:
        raise ConfigError(f"{runs}: holds no run {missing[0]}; make it with leave_one_event_out.py")
    held_out = [_over_seeds(runs, events, seeds, strength, config) for strength in strengths]
    validation = [_validation(name, strengths, config) for name in models]
    report({"held_out": held_out, "validation": validation}, json_file)


def _over_seeds(
    runs: Path, events: Sequence[str], seeds: Sequence[int], strength: float, config: DataConfig
) -> dict[str, Any]:
    each = [_held_out(runs, events, seed, strength, config) for seed in seeds]
    means = {name: statistics.mean(one[name] for one in each) for name in ("water_iou", "mean_of_events")}
    print(
        f"strength {strength}: held out {means['water_iou']:.4f}, mean of events {means['mean_of_events']:.4f}",
        flush=True,
    )
    return {"strength": strength, **means, "seeds": each}


def _held_out(runs: Path, events: Sequence[str], seed: int, strength: float, config: DataConfig) -> dict[str, Any]:
    total, each = Counts(), {}
    for event in events:
        model = load_model(runs / f"{event}-{seed}").set_context_prior(strength)
        scored = evaluate(model, config=replace(config, hold_out_event=event), split="held-out")
        counts = sum((chip.counts for chip in scored.chips), start=Counts())
        total += counts
        each[event] = counts.water_iou
    known = [score for score in each.values() if score is not None]
    return {
        "seed": seed, "water_iou": total.water_iou, "mean_of_events": statistics.mean(known), "events": each,
    }  # fmt: skip


def _validation(name: str, strengths: Sequence[float], config: DataConfig) -> dict[str, Any]:
    model = load_model(name)
    found: dict[str, float | None] = {}
    for strength in strengths:
        model.set_context_prior(strength)
        counts = calibrate(model, make_loader(open_layout(config, "valid"), augment=None), Processes())
        found[str(strength)] = counts.water_iou
        print(f"{name}, strength {strength}: {counts.water_iou:.4f}", flush=True)
    return {"model": name, "water_iou": found}


if __name__ == "__main__":
    run_and_exit(app)
