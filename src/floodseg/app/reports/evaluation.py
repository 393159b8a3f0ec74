"""Tables on the terminal."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from floodseg.evaluation.evaluate import Document, Evaluation
from floodseg.evaluation.map_scores import MapEvaluation
from floodseg.models.checkpoint.zoo import shipped_models
from floodseg.runtimes.select import exported_files
from floodseg.system.extras import is_installed

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
    """Print the scores of a method with the classical baselines below it, then the scores of each event."""
    console = Console(highlight=False)
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
        shown = f"{interval[0]:.2f}-{interval[1]:.2f}" if interval else "-"
        values = (_number(scores[key]) for _, key in _COLUMNS if key != "water_iou_ci95")
        overall.add_row(name, next(values), shown, *values)
    console.print(overall)
    references = list(evaluation.references)
    columns = ("event", "chips", "water IoU", "precision", "recall", *(f"{name} IoU" for name in references))
    per_event = Table(*columns, box=SIMPLE_HEAD)
    for event, scores in document["events"].items():
        floors = (_number(_event(evaluation.references[name], event)) for name in references)
        values = (_number(scores[key]) for key in ("water_iou", "precision", "recall"))
        per_event.add_row(event, str(scores["n_chips_counted"]), *values, *floors)
    console.print(per_event)
    if document["calibration"]:
        console.print(_decisions(document), soft_wrap=True)
    if "clouds" in document:
        console.print(_clouds(document["clouds"]))


def print_map_evaluation(evaluation: MapEvaluation) -> None:
    """Print the scores of a map, for both meanings of water where it holds permanent water."""
    console = Console(highlight=False)
    chosen = evaluation.scores[evaluation.water]
    console.print(
        f"{evaluation.map} against {evaluation.reference} ({evaluation.reference_kind}): {chosen.n:,} pixels counted "
        f"of {evaluation.map_pixels:,} that the map decides",
        soft_wrap=True,
    )
    columns = (*(each for each in _COLUMNS if hasattr(chosen, each[1])), ("accuracy", "accuracy"))
    table = Table("", *(title for title, _ in columns), box=SIMPLE_HEAD)
    for water, counts in evaluation.scores.items():
        if water == evaluation.water or evaluation.permanent_water_pixels:
            table.add_row(water, *(_number(getattr(counts, name)) for _, name in columns))
    console.print(table)
    if evaluation.permanent_water_pixels:
        console.print(
            f"{evaluation.permanent_water_pixels:,} pixels of permanent water count as water in 'all water', and are "
            "left out in 'flood'",
            soft_wrap=True,
        )


def _decisions(document: Document) -> str:
    """Return the calibration errors and the precision of other thresholds, one sentence each."""
    calibration, choices = document["calibration"], document["thresholds"]["choices"]
    lines = [
        f"calibration error {_number(calibration['ece_uncalibrated'])} without a temperature, "
        f"{_number(calibration['ece'])} with the stored one, {_number(calibration['ece_cross_validated'])} with "
        "temperatures of the other events"
    ]
    for name in ("precision_oriented", "recall_oriented"):
        chosen = choices[name]
        what = name.replace("_", "-")
        lines.append(
            f"{what}: no threshold reaches 0.9"
            if chosen is None
            else f"{what}: --threshold {chosen['threshold']:.2f} gives precision {chosen['precision']:.3f}, recall "
            f"{chosen['recall']:.3f}, water IoU {chosen['water_iou']:.3f}"
        )
    return "\n".join(lines)


def _clouds(clouds: Sequence[Document]) -> Table:
    """Return water IoU by cloud cover, and the gain of fusion over the better of its sensors."""
    shown = {"both": "both IoU", "sar": "radar alone", "optical": "optical alone"}
    sensors = [name for name in shown if name in clouds[0]]
    title = f"simulated clouds, mask: {clouds[0]['mask_quality']}"
    gain = ("both less the better", "95 % interval", "better") if "both" in sensors else ()
    table = Table("cover", "masked", *(shown[name] for name in sensors), *gain, box=SIMPLE_HEAD, title=title)
    for row in clouds:
        cells = [_number(row[name]["water_iou"]) for name in sensors]
        compared = row.get("fused_minus_better")
        if compared:
            low, high = compared["ci95"]
            cells += [f"{compared['difference']:+.3f}", f"{low:+.3f} to {high:+.3f}", compared["better"]]
        table.add_row(f"{row['cover']:g}", _number(row["masked_share"]), *cells)
    return table


def _event(document: Document, event: str) -> Any:
    return document["events"][event]["water_iou"]


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def print_models() -> None:
    """Print the architectures, with their parameters for 2 radar and 13 optical bands, and the shipped weights."""
    console = Console(highlight=False)
    if is_installed("torch") and is_installed("timm"):
        console.print(_architectures())
    else:
        console.print("Architectures need PyTorch: pip install 'floodseg[train]'", markup=False)
    console.print("Shipped weights")
    for shipped in shipped_models():
        description = shipped.description
        lines = (
            f"{description['architecture']}, {description['parameters'] / 1e6:.2f} M parameters",
            f"file: {shipped.size_mb:.1f} MB",
            *(
                f"exported: {file.runtime} {file.precision}, {file.size_mb:.1f} MB"
                for file in exported_files(shipped.folder)
            ),
            "bands: " + " ".join((*description["bands"]["sar"], *description["bands"]["optical"])),
            *(f"water IoU on {split}: {values['water_iou']:.3f}" for split, values in description["scores"].items()),
            f"licence of the weights: {description['training']['licence']}",
            f"training data: {description['training']['data']}",
        )
        console.print(f"  [bold]{shipped.name}[/bold]", *lines, sep="\n    ", soft_wrap=True)


def _architectures() -> Table:
    from floodseg.models.registry import ARCHITECTURES, build_model

    table = Table("architecture", "encoder", "parameters", "what it is", title="Architectures")
    for name, entry in ARCHITECTURES.items():
        parameters = sum(p.numel() for p in build_model(name).parameters())
        table.add_row(name, entry.default_encoder or "-", f"{parameters / 1e6:.2f} M", entry.summary)
    return table


def print_export(path: Path, gate: dict[str, Any]) -> None:
    """Print the path and size of an exported model, and the figures of its parity check."""
    if "water_iou" in gate:
        by_sensors = ", ".join(
            f"{sensors} {gate['water_iou'][sensors]:.4f} ({before:.4f} in PyTorch)"
            for sensors, before in gate["water_iou_in_torch"].items()
        )
        measured = f"water IoU on {gate['split']}: {by_sensors}"
    else:
        measured = (
            f"probability differs from PyTorch by {gate['largest']:.2g} at most, and by no more than 0.01 on "
            f"{gate['share_within_0.01']:.3%} of {gate['pixels']:,} pixels"
        )
    size = sum(file.stat().st_size for file in (path, path.with_suffix(".bin")) if file.is_file()) / 1e6
    Console(highlight=False).print(f"{path}  {size:.1f} MB, {measured}", soft_wrap=True)
