"""Terminal report of the exposure to a flood."""

from rich.console import Console
from rich.table import Table

from floodseg.analysis.exposure.chart import amount
from floodseg.analysis.exposure.exposure import Exposure
from floodseg.app.flags import as_flags

_FILES = {
    "exposure.png": "chart with the map",
    "exposure.csv": "table of all figures",
    "exposure.gpkg": "zones with their figures, and the table",
    "item.json": "STAC item with source and licence of each layer",
    "exposure.json": "figures, sources, settings and notes, machine-readable",
}


def print_exposure(result: Exposure) -> None:
    """Print the figures of the total, the notes and the products."""
    console = Console(highlight=False, markup=False)
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("in the area")
    for name in ("unit", "total", "in the flood", "or not seen"):
        table.add_column(name, justify="left" if name == "unit" else "right", no_wrap=True)
    for item in result.items:
        figure = item.figures[0]
        table.add_row(item.name, item.unit, amount(figure.total), amount(figure.affected), amount(figure.upper))
    console.print(table)
    if len(result.zones) > 1:
        console.print(f"{len(result.zones) - 1} regions; the total counts overlaps once")
    for sentence in result.document["assumptions"]:
        console.print(f"note  {as_flags(sentence)}", soft_wrap=True)
    console.print()
    for name, meaning in _FILES.items():
        if (result.out_dir / name).is_file():
            console.print(f"  {result.out_dir / name}  {meaning}", soft_wrap=True)
