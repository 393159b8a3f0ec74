"""Efficiency table and its picture, from speed and memory of ``floodseg benchmark``, water IoU of ``compare_runs.py``.

    python -m benchmarks.speed.efficiency --train benchmarks/results/train.json --infer benchmarks/results/infer.json \
        --scores benchmarks/results/side-by-side.json --picture docs/pictures/efficiency.png

The name of a group of scores is that of its model: ``lite``, or ``efficient (resnet34)`` with an encoder.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
from cyclopts import App, Parameter
from matplotlib.axes import Axes

from floodseg.app.exit_codes import run_and_exit
from floodseg.errors import DataError

app = App(help="Efficiency table and its picture.", default_parameter=Parameter(consume_multiple=True))
Row = dict[str, Any]

_CLAIMS = {"parameters": 0.40, "training": 2.5, "memory": 0.6, "inference": 3.0, "water IoU": 0.95}
"""Claims of the classic script for ``efficient``, as ratios to ``baseline``."""
_MORE_IS_BETTER = {"training", "inference", "water IoU"}


@dataclass(frozen=True)
class Model:
    """Figures of one model."""

    name: str
    params: float
    ratios: dict[str, float | None]
    best: tuple[float, str] | None
    """Speed of the fastest runtime relative to eager fp32 of the baseline, and the name of that runtime."""
    eager_ms: float | None
    best_ms: float | None
    iou: tuple[float, float] | None
    """Mean and standard deviation over seeds."""


@app.default
def efficiency(
    *,
    train: Path | None = None,
    infer: Path | None = None,
    scores: Path | None = None,
    picture: Path | None = None,
) -> None:
    """Print the table as Markdown, and draw water IoU against latency and against parameters.

    Parameters
    ----------
    train
        Result of floodseg benchmark train.
    infer
        Result of floodseg benchmark infer.
    scores
        Result of compare_runs.py.
    picture
        PNG file to write; needs --infer and --scores.
    """
    training, inference = _read(train, "ratios"), _read(infer, "ratios")
    groups = {group["name"]: group["water_iou"] for group in _read(scores, "groups")}
    rows = _read(infer, "rows")
    models = _models(training, inference, rows, groups)
    print(_table(models))
    if picture is not None:
        if infer is None or scores is None:
            raise DataError(f"--picture {picture}: needs --infer and --scores")
        _draw([model for model in models if model.iou is not None], picture)


def _read(path: Path | None, key: str) -> list[Row]:
    if path is None:
        return []
    document = json.loads(path.read_text(encoding="utf-8"))
    if key not in document:
        raise DataError(
            f"{path}: holds no {key}; name a result of floodseg benchmark, or of compare_runs.py for --scores"
        )
    found: list[Row] = document[key]
    return found


def _models(training: list[Row], inference: list[Row], rows: list[Row], groups: Row) -> list[Model]:
    reference = groups.get("baseline")
    names = list(dict.fromkeys(_name(row) for row in [*training, *inference]))
    models = []
    for name in names:
        trained = _eager(training, name)
        inferred = _eager(inference, name)
        score = groups.get(name)
        ratios = {
            "parameters": (trained or inferred or {})["params"],
            "training": trained and trained["train_speed"],
            "memory": trained and trained["train_memory"],
            "inference": inferred and inferred["infer_speed"],
            "water IoU": score["mean"] / reference["mean"] if score and reference else None,
        }
        own = [row for row in rows if _name(row) == name]
        eager = _eager(rows, name)
        fastest = min(own, key=lambda row: row["infer_ms_median"], default=None)
        speed = {id(row): ratio["infer_speed_to_fp32"] for row, ratio in zip(rows, inference, strict=True)}
        models.append(
            Model(
                name,
                float("nan") if not own else own[0]["params"] / 1e6,
                ratios,
                None if fastest is None else (speed[id(fastest)], _runtime(fastest)),
                None if eager is None else eager["infer_ms_median"],
                None if fastest is None else fastest["infer_ms_median"],
                None if score is None else (score["mean"], score["std"] or 0.0),
            )
        )
    return models


def _name(row: Row) -> str:
    return f"{row['model']} ({row['encoder']})" if row["encoder"] else str(row["model"])


def _eager(rows: list[Row], name: str) -> Row | None:
    """Return the row of a model in PyTorch, fp32, not compiled."""
    found = [row for row in rows if _name(row) == name and _runtime(row) == "torch fp32"]
    return found[0] if found else None


def _runtime(row: Row) -> str:
    return f"{'torch.compile' if row['compiled'] else row['runtime']} {row['precision']}"


def _table(models: list[Model]) -> str:
    heads = ("", "parameters", "training speed", "training memory", "inference, eager", "best runtime", "water IoU")
    claims = [f"{_CLAIMS[key]:.2f}x" for key in ("parameters", "training", "memory", "inference")]
    lines = [heads, ("---",) * len(heads), ("classic claim", *claims, "-", f"{_CLAIMS['water IoU']:.2f}x")]
    for model in models:
        cells = [_cell(model, key) for key in ("parameters", "training", "memory", "inference")]
        best = "-" if model.best is None else f"{model.best[0]:.1f}x ({model.best[1]})"
        iou = _cell(model, "water IoU")
        shown = iou if model.iou is None else f"{iou} ({model.iou[0]:.3f} ± {model.iou[1]:.3f})"
        lines.append((f"`{model.name}`", *cells, best, shown))
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(model: Model, key: str) -> str:
    value = model.ratios[key]
    if value is None:
        return "-"
    claim = _CLAIMS[key]
    missed = value < claim if key in _MORE_IS_BETTER else value > claim
    return f"{value:.2f}x" + (" (misses the claim)" if missed and model.name.startswith("efficient") else "")


def _draw(models: list[Model], picture: Path) -> None:
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6), sharey=True, layout="constrained")
    colours = {model.name: f"C{index}" for index, model in enumerate(models)}
    for model in models:
        assert model.iou is not None
        mean, spread = model.iou
        colour = colours[model.name]
        right.errorbar(model.params, mean, spread, fmt="o", color=colour, capsize=3)
        _label(right, model.name, model.params, mean)
        if model.eager_ms is None or model.best_ms is None:
            continue
        left.plot([model.best_ms, model.eager_ms], [mean, mean], color=colour, linewidth=1)
        left.errorbar(model.eager_ms, mean, spread, fmt="o", color=colour, capsize=3)
        left.plot(model.best_ms, mean, "D", color=colour)
        _label(left, model.name, model.best_ms, mean)
    left.plot([], [], "o", color="0.4", label="PyTorch, eager, fp32")
    left.plot([], [], "D", color="0.4", label="fastest runtime")
    left.legend(loc="lower left", fontsize=8)
    left.set(xscale="log", xlabel="milliseconds for 512x512 pixels, 15 bands", ylabel="water IoU, validation, radar")
    right.set(xscale="log", xlabel="parameters in millions")
    for axes in (left, right):
        axes.grid(visible=True, alpha=0.3)
        axes.margins(x=0.2, y=0.2)
    figure.savefig(picture, dpi=130)


def _label(axes: Axes, text: str, x: float, y: float) -> None:
    axes.annotate(text, (x, y), textcoords="offset points", xytext=(4, 6), fontsize=8)


if __name__ == "__main__":
    run_and_exit(app)
