"""Terminal reports of evaluations."""

from collections.abc import Sequence
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from floodseg.evaluation.evaluate import Document, Evaluation
from floodseg.evaluation.map_scores import MapEvaluation

_COLUMNS = (
    ("water IoU", "water_iou"),
    ("95 % interval", "water_iou_ci95"),
    ("per chip", "water_iou_per_chip_mean"),
    ("mIoU", "miou"),
    ("F1", "f1"),
    ("precision", "precision"),
    ("recall", "recall"),
    ("ECE", "ece"),
)


def print_evaluation(evaluation: Evaluation) -> None:
    """Print the scores of a model and the classical baselines, on all chips and on each event."""
    console = Console(highlight=False, markup=False)
    document = evaluation.document
    console.print(
        f"{document['model']} on split {document['split']}, sensors {document['sensors']}: "
        f"{document['n_chips_counted']} of {document['n_chips']} chips counted, {document['n_pixels']:,} pixels, "
        f"threshold {_number(document['threshold'])}",
        soft_wrap=True,
    )
    overall = Table("", *(title for title, _ in _COLUMNS), box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for name, scores in ((Path(document["model"]).name, document), *evaluation.references.items()):
        interval = scores["water_iou_ci95"]
        interval_text = f"{interval[0]:.2f}-{interval[1]:.2f}" if interval else "-"
        values = (_number(scores[key]) for _, key in _COLUMNS if key != "water_iou_ci95")
        overall.add_row(name, next(values), interval_text, *values)
    console.print(overall)
    baselines = evaluation.references
    columns = ("event", "chips", "water IoU", "precision", "recall", *(f"{name} IoU" for name in baselines))
    per_event = Table(*columns, box=SIMPLE_HEAD)
    for event, scores in document["events"].items():
        baseline_scores = (_number(scored["events"][event]["water_iou"]) for scored in baselines.values())
        values = (_number(scores[key]) for key in ("water_iou", "precision", "recall"))
        per_event.add_row(event, str(scores["n_chips_counted"]), *values, *baseline_scores)
    console.print(per_event)
    if document["calibration"]:
        console.print(_calibration_text(document), soft_wrap=True)
    if "clouds" in document:
        console.print(_cloud_table(document["clouds"]))


def print_map_evaluation(evaluation: MapEvaluation) -> None:
    """Print the scores of a map. A map with permanent water is scored with and without it."""
    console = Console(highlight=False, markup=False)
    main_scores = evaluation.scores[evaluation.water_classes]
    console.print(
        f"{evaluation.map} against {evaluation.reference} ({evaluation.reference_kind}): {main_scores.n:,} of "
        f"{evaluation.map_pixels:,} mapped pixels counted",
        soft_wrap=True,
    )
    columns = (*(column for column in _COLUMNS if hasattr(main_scores, column[1])), ("accuracy", "accuracy"))
    table = Table("", *(title for title, _ in columns), box=SIMPLE_HEAD)
    for water, counts in evaluation.scores.items():
        if water == evaluation.water_classes or evaluation.permanent_water_pixels:
            table.add_row(water, *(_number(getattr(counts, name)) for _, name in columns))
    console.print(table)
    if evaluation.permanent_water_pixels:
        console.print(
            f"{evaluation.permanent_water_pixels:,} pixels of permanent water are water in 'all water' and are not "
            "counted in 'flood'",
            soft_wrap=True,
        )


def _calibration_text(document: Document) -> str:
    """Return the calibration errors and the scores at other thresholds, one sentence each."""
    calibration, thresholds = document["calibration"], document["thresholds"]["choices"]
    lines = [
        f"calibration error {_number(calibration['ece_uncalibrated'])} without a temperature, "
        f"{_number(calibration['ece'])} with the stored temperature, "
        f"{_number(calibration['ece_cross_validated'])} with temperatures fitted on the other events"
    ]
    for key in ("precision_oriented", "recall_oriented"):
        scores, name = thresholds[key], key.replace("_", "-")
        lines.append(
            f"{name}: no threshold reaches 0.9"
            if scores is None
            else f"{name}: --threshold {scores['threshold']:.2f} gives precision {scores['precision']:.3f}, recall "
            f"{scores['recall']:.3f}, water IoU {scores['water_iou']:.3f}"
        )
    return "\n".join(lines)


def _cloud_table(clouds: Sequence[Document]) -> Table:
    """Return a table of water IoU by cloud cover, with the gain of fusion over the better single sensor."""
    headings = {"both": "both IoU", "sar": "radar IoU", "optical": "optical IoU"}
    sensors = [name for name in headings if name in clouds[0]]
    title = f"simulated clouds, mask: {clouds[0]['mask_quality']}"
    gain = ("gain over better sensor", "95 % interval", "better sensor") if "both" in sensors else ()
    table = Table("cover", "masked", *(headings[name] for name in sensors), *gain, box=SIMPLE_HEAD, title=title)
    for row in clouds:
        cells = [_number(row[name]["water_iou"]) for name in sensors]
        fused = row.get("fused_minus_better")
        if fused:
            low, high = fused["ci95"]
            cells += [f"{fused['difference']:+.3f}", f"{low:+.3f} to {high:+.3f}", fused["better"]]
        table.add_row(f"{row['cover']:g}", _number(row["masked_share"]), *cells)
    return table


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
