"""Scores on events of the training set compared with scores on held-out events.

    python -m benchmarks.accuracy.leave_one_event_out recipes/leave-one-event-out.toml --data DIR \
        --runs runs/events --json FILE

For each seed, one run is trained with all events, and one without each event, with equal settings. Finished runs are
reused, interrupted runs are resumed. Both models of an event are scored on the validation chips of the event. The model
without the event has its epoch, threshold and temperature from the validation chips of the other events, the model with
all events from all validation chips.
"""

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, Parameter

from benchmarks.accuracy.seeds import spread
from benchmarks.accuracy.trainings import finished_run
from benchmarks.report import report
from floodseg.app.exit_codes import run_and_exit
from floodseg.config.data import DataConfig
from floodseg.datasets.layouts import open_layout
from floodseg.errors import ConfigError
from floodseg.evaluation.evaluate import Evaluation, evaluate
from floodseg.evaluation.metrics.bootstrap import Pair, paired_difference
from floodseg.evaluation.metrics.counts import ChipScore, score_chips
from floodseg.models.checkpoint.zoo import load_model

app = App(help="Scores on known and on held-out events.", default_parameter=Parameter(consume_multiple=True))
ALL = "all-events"


@app.default
def leave_one_event_out(
    recipe: Path,
    *,
    config: Annotated[DataConfig, Parameter(name="*")] = DataConfig(sensors="sar"),  # noqa: B008 (frozen)
    runs: Path,
    seeds: tuple[int, ...] = (0,),
    epochs: int | None = None,
    events: tuple[str, ...] = (),
    json_file: Annotated[Path | None, Parameter(name="--json")] = None,
) -> None:
    """Train and score; print a table and one JSON object.

    Parameters
    ----------
    recipe
        Recipe of all trainings.
    runs
        Folder of the runs, which are named all-events-SEED and EVENT-SEED.
    seeds
        Seeds of the trainings; several seeds add standard deviations to the table.
    epochs
        Epochs of all trainings, instead of the recipe's.
    events
        Events to hold out; by default all events of the validation split.
    json_file
        Write the scores as one JSON object.
    """
    if config.layout != "sen1floods11" or config.hold_out_event:
        raise ConfigError(
            "this script holds out the events of layout sen1floods11 itself; leave out --layout and --hold-out-event"
        )
    chosen = events or tuple(sorted(set(open_layout(config, "valid").events)))
    by_seed = [_scores_of_seed(recipe, config, runs, seed, epochs, chosen) for seed in seeds]
    rows = [_over_seeds([one["events"][number] for one in by_seed]) for number in range(len(chosen))]
    rows.append(_over_seeds([one["together"] for one in by_seed]))
    print(_table(rows))
    report({"recipe": str(recipe), "table": rows, "seeds": by_seed}, json_file)


def _scores_of_seed(
    recipe: Path, config: DataConfig, runs: Path, seed: int, epochs: int | None, events: tuple[str, ...]
) -> dict[str, Any]:
    """Return the scores of the trainings of one seed, by event and for all events together."""
    flags = ["--data", str(config.data)] if config.data else []
    flags += ["--seed", str(seed), *(["--epochs", str(epochs)] if epochs else [])]
    known = _evaluate(finished_run(recipe, runs / f"{ALL}-{seed}", flags), config, "valid")
    rows, pairs = [], []
    for event in events:
        folder = finished_run(recipe, runs / f"{event}-{seed}", [*flags, "--hold-out-event", event])
        row, chips = _row(event, known, folder, config)
        rows.append(row)
        pairs += chips
    together = {name: score_chips([chip for pair in pairs for chip in pair[name]]) for name in ("known", "held_out")}
    difference = paired_difference([_pair(*pair["known"], *pair["held_out"]) for pair in pairs])
    return {
        "seed": seed,
        "events": rows,
        "together": {"event": "all", **together, "held_out_minus_known": difference and difference.to_json()},
    }


def _evaluate(folder: Path, config: DataConfig, split: str) -> Evaluation:
    return evaluate(load_model(folder), config=config, split=split, name=folder.name)


def _row(
    event: str, known: Evaluation, folder: Path, config: DataConfig
) -> tuple[dict[str, Any], list[dict[str, list[ChipScore]]]]:
    """Return the scores of an event, and those of its validation chips by both models."""
    without = _evaluate(folder, config, "valid")
    all_chips = _evaluate(folder, replace(config, hold_out_event=event), "held-out").document
    chips = [
        {"known": [with_event], "held_out": [without_event]}
        for with_event, without_event in zip(known.chips, without.chips, strict=True)
        if with_event.event == event
    ]
    difference = paired_difference([_pair(*chip["known"], *chip["held_out"]) for chip in chips])
    return {
        "event": event,
        "chips": without.document["events"][event]["n_chips_counted"],
        "known": known.document["events"][event],
        "held_out": without.document["events"][event],
        "held_out_minus_known": difference and difference.to_json(),
        "held_out_all_chips": {
            key: all_chips[key] for key in ("n_chips_counted", "water_iou", "precision", "recall", "ece")
        },
    }, chips


def _pair(known: ChipScore, held_out: ChipScore) -> Pair:
    assert known.name == held_out.name
    # paired_difference subtracts the second from the first
    return Pair(known.name, held_out.counts, known.counts)


def _over_seeds(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Return water IoU and its difference over the seeds, as mean and standard deviation, for one event or for all."""
    differences = [row["held_out_minus_known"] for row in rows]
    return {
        "event": rows[0]["event"],
        "known": spread([row["known"]["water_iou"] for row in rows]),
        "held_out": spread([row["held_out"]["water_iou"] for row in rows]),
        "difference": spread([found and found["difference"] for found in differences]),
        "held_out_all_chips": spread([row.get("held_out_all_chips", {}).get("water_iou") for row in rows]),
    }


def _table(rows: list[dict[str, Any]]) -> str:
    lines = ["| event | known | held out | difference | held out, all chips of the event |", "|---" * 5 + "|"]
    for row in rows:
        cells = (_cell(row["known"]), _cell(row["held_out"]), _cell(row["difference"], "+"))
        lines.append(f"| {row['event']} | {' | '.join(cells)} | {_cell(row['held_out_all_chips'])} |")
    return "\n".join(lines)


def _cell(spread: dict[str, Any], sign: str = "") -> str:
    if spread["mean"] is None:
        return "-"
    deviation = "" if spread["std"] is None else f" +- {spread['std']:.3f}"
    return f"{spread['mean']:{sign}.3f}{deviation}"


if __name__ == "__main__":
    run_and_exit(app)
