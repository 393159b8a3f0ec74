"""Effect of the context prior on held-out events and on the validation split.

    python -m benchmarks.accuracy.context_prior runs/events --models s1-lite s1-efficient --data DIR --json FILE

``runs/events`` holds the runs of ``leave_one_event_out.py``. Each run is scored on all chips of its held-out event,
with its stored threshold and each strength of the prior; 0 is no prior. The models are recalibrated with each strength
on the validation split, and scored on it.
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
from floodseg.config.data import DataConfig
from floodseg.datasets.layouts import open_layout
from floodseg.distributed.processes import Processes
from floodseg.errors import ConfigError
from floodseg.evaluation.evaluate import evaluate
from floodseg.evaluation.metrics.counts import Counts
from floodseg.models.checkpoint.zoo import load_model
from floodseg.training.validation import calibrate

app = App(help="Effect of the context prior.", default_parameter=Parameter(consume_multiple=True))


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
    """Score runs and models with priors of several strengths; print the scores and one JSON object.

    Parameters
    ----------
    runs
        Folder that contains the runs, named EVENT-SEED.
    models
        Names of shipped models, or run folders, to recalibrate.
    strengths
        Strengths of the prior; 0 is no prior.
    seeds
        Seeds of the runs; their scores are averaged.
    json_file
        Write the scores as one JSON object.
    """
    events = sorted(set(open_layout(config, "valid").events))
    names = [f"{event}-{seed}" for event in events for seed in seeds]
    missing = [name for name in names if not (runs / name).is_dir()]
    if missing:
        raise ConfigError(f"{runs}: holds no run {missing[0]}; train it with leave_one_event_out.py")
    held_out = [_over_seeds(runs, events, seeds, strength, config) for strength in strengths]
    validation = [_validation(name, strengths, config) for name in models]
    report({"held_out": held_out, "validation": validation}, json_file)


def _over_seeds(
    runs: Path, events: Sequence[str], seeds: Sequence[int], strength: float, config: DataConfig
) -> dict[str, Any]:
    scores = [_held_out(runs, events, seed, strength, config) for seed in seeds]
    means = {name: statistics.mean(score[name] for score in scores) for name in ("water_iou", "mean_of_events")}
    print(
        f"strength {strength}: held out {means['water_iou']:.4f}, mean of events {means['mean_of_events']:.4f}",
        flush=True,
    )
    return {"strength": strength, **means, "seeds": scores}


def _held_out(runs: Path, events: Sequence[str], seed: int, strength: float, config: DataConfig) -> dict[str, Any]:
    total, scores = Counts(), {}
    for event in events:
        model = load_model(runs / f"{event}-{seed}").set_context_prior(strength)
        scored = evaluate(model, config=replace(config, hold_out_event=event), split="held-out")
        counts = sum((chip.counts for chip in scored.chips), start=Counts())
        total += counts
        scores[event] = counts.water_iou
    defined = [score for score in scores.values() if score is not None]
    return {
        "seed": seed, "water_iou": total.water_iou, "mean_of_events": statistics.mean(defined), "events": scores,
    }  # fmt: skip


def _validation(name: str, strengths: Sequence[float], config: DataConfig) -> dict[str, Any]:
    model = load_model(name)
    scores: dict[str, float | None] = {}
    for strength in strengths:
        model.set_context_prior(strength)
        counts = calibrate(model, make_loader(open_layout(config, "valid"), augment=None), Processes())
        scores[str(strength)] = counts.water_iou
        print(f"{name}, strength {strength}: {counts.water_iou:.4f}", flush=True)
    return {"model": name, "water_iou": scores}


if __name__ == "__main__":
    run_and_exit(app)
