"""Tables on the terminal."""

from typing import Any

from rich.console import Console
from rich.table import Table

from floodseg.learning.evaluate import Document, Evaluation
from floodseg.models.registry import ARCHITECTURES, build_model
from floodseg.release.shipped import shipped_models

_COLUMNS = (
    ("water IoU", "water_iou"),
    ("per chip", "water_iou_per_chip_mean"),
    ("mIoU", "miou"),
    ("F1", "f1"),
    ("precision", "precision"),
    ("recall", "recall"),
    ("ECE", "ece"),
)


def print_evaluation(evaluation: Evaluation) -> None:
    """Print the scores of a method with the references below it, then its scores per event beside theirs."""
    console = Console(highlight=False)
    document = evaluation.document
    console.print(
        f"{document['model']} on split {document['split']}, sensors {document['sensors']}: "
        f"{document['n_chips_counted']} of {document['n_chips']} chips counted, {document['n_pixels']:,} pixels, "
        f"threshold {_number(document['threshold'])}",
        soft_wrap=True,
    )
    overall = Table("", *(title for title, _ in _COLUMNS), "95 % interval")
    for name, scores in ((document["model"], document), *evaluation.references.items()):
        interval = scores["water_iou_ci95"]
        shown = f"{interval[0]:.3f} to {interval[1]:.3f}" if interval else "-"
        overall.add_row(name, *(_number(scores[key]) for _, key in _COLUMNS), shown)
    console.print(overall)
    references = list(evaluation.references)
    per_event = Table("event", "chips", "water IoU", "precision", "recall", *(f"{name} IoU" for name in references))
    for event, scores in document["events"].items():
        floors = (_number(_event(evaluation.references[name], event)) for name in references)
        values = (_number(scores[key]) for key in ("water_iou", "precision", "recall"))
        per_event.add_row(event, str(scores["n_chips_counted"]), *values, *floors)
    console.print(per_event)


def _event(document: Document, event: str) -> Any:
    return document["events"][event]["water_iou"]


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def print_models() -> None:
    """Print the architectures, with their parameters for 2 radar and 13 optical bands, and the shipped weights."""
    console = Console(highlight=False)
    architectures = Table("architecture", "encoder", "parameters", "what it is", title="Architectures")
    for name, entry in ARCHITECTURES.items():
        parameters = sum(p.numel() for p in build_model(name).parameters())
        architectures.add_row(name, entry.default_encoder or "-", f"{parameters / 1e6:.2f} M", entry.summary)
    console.print(architectures)
    weights = Table("weights", "architecture", "parameters", "size", "bands", "scores", "licence", "training data")
    for shipped in shipped_models():
        description = shipped.description
        bands = " ".join((*description["bands"]["sar"], *description["bands"]["optical"]))
        scores = ", ".join(f"{split} {values['water_iou']:.3f}" for split, values in description["scores"].items())
        weights.add_row(
            shipped.name,
            description["architecture"],
            f"{description['parameters'] / 1e6:.2f} M",
            f"{shipped.size_mb:.1f} MB",
            bands,
            f"water IoU: {scores}",
            description["training"].get("licence", "-"),
            description["training"].get("data", "-"),
        )
    weights.title = "Shipped weights"
    console.print(weights)
