"""Terminal reports of models: list of architectures and shipped models, and result of an export."""

from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from floodseg.messages import percent
from floodseg.models.checkpoint.zoo import shipped_models
from floodseg.runtimes.select import exported_files
from floodseg.system.extras import is_installed


def print_models() -> None:
    """Print the architectures, with their number of parameters for all bands, and the shipped models."""
    console = Console(highlight=False)
    if is_installed("torch") and is_installed("timm"):
        console.print(_architectures())
    else:
        console.print("Architectures need PyTorch: pip install 'floodseg[train]'", markup=False)
    console.print("Shipped models")
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

    table = Table("architecture", "encoder", "parameters", "description", title="Architectures")
    for name, entry in ARCHITECTURES.items():
        parameters = sum(parameter.numel() for parameter in build_model(name).parameters())
        table.add_row(name, entry.default_encoder or "-", f"{parameters / 1e6:.2f} M", entry.summary)
    return table


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
