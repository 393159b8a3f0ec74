"""Terminal reports of models: list of architectures and shipped models, and result of an export."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from floodseg.messages import SENSOR_NAMES, percent


def print_models(listing: dict[str, Any]) -> None:
    """Print the result of ``floodseg.list_models``."""
    console = Console(highlight=False)
    if listing["architectures"] is None:
        console.print("Architectures need PyTorch: pip install 'floodseg[train]'", markup=False)
    else:
        console.print(_architectures(listing["architectures"]))
    console.print("Shipped models")
    for model in listing["models"]:
        console.print(f"  [bold]{model['name']}[/bold]", *_lines(model), sep="\n    ", soft_wrap=True)


def _architectures(architectures: Sequence[dict[str, Any]]) -> Table:
    table = Table("architecture", "encoder", "parameters", "description", title="Architectures")
    for entry in architectures:
        parameters = f"{entry['parameters'] / 1e6:.2f} M"
        table.add_row(entry["name"], entry["encoder"] or "-", parameters, entry["description"])
    return table


def _lines(model: dict[str, Any]) -> Iterator[str]:
    """Yield the lines on a shipped model."""
    yield f"{model['architecture']}, {model['parameters'] / 1e6:.2f} M parameters"
    if model["parts"]:
        yield "fuses " + " and ".join(f"{part} ({SENSOR_NAMES[sensor]})" for sensor, part in model["parts"].items())
    yield "takes " + " and ".join(
        f"{SENSOR_NAMES[sensor]} {' '.join(model['bands'][sensor])}" for sensor in model["sensors"]
    )
    exported = "".join(f", {name.replace('-', ' ')} {size:.1f} MB" for name, size in model["exported"].items())
    yield f"files: {model['size_mb']:.1f} MB{exported}"
    for split, scores in model["scores"].items():
        interval = scores.get("water_iou_ci95")
        limits = f" (95 % interval {interval[0]:.3f} to {interval[1]:.3f})" if interval else ""
        yield f"water IoU on {split}: {scores['water_iou']:.3f}{limits}"
    if model["relative_time"] is not None:
        yield f"mapping time: {model['relative_time']:.2f} times that of s1-lite"
    yield f"licence of the weights: {model['licence']}"
    yield f"training data: {model['training_data']}"


def print_export(path: Path, parity: dict[str, Any]) -> None:
    """Print path and size of an exported model, and the result of its parity check."""
    if "water_iou" in parity:
        scores = ", ".join(
            f"{sensors} {parity['water_iou'][sensors]:.4f} ({in_torch:.4f} in PyTorch)"
            for sensors, in_torch in parity["water_iou_in_torch"].items()
        )
        measured = f"water IoU on {parity['split']}: {scores}"
    else:
        measured = (
            f"probability differs from PyTorch by at most {parity['largest']:.2g}, and by at most 0.01 at "
            f"{percent(parity['share_within_0.01'], 3)} of {parity['pixels']:,} pixels"
        )
    size = sum(file.stat().st_size for file in (path, path.with_suffix(".bin")) if file.is_file()) / 1e6
    Console(highlight=False, markup=False).print(f"{path}  {size:.1f} MB, {measured}", soft_wrap=True)
