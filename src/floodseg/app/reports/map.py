"""Terminal report of a map."""

from rich.console import Console

from floodseg.app.flags import as_flags
from floodseg.app.reports.depth import DEPTH_FILES, depth_rows
from floodseg.inference.flood_map import FloodMap
from floodseg.messages import percent

_FILES = {
    "quicklook.png": "picture of the flood over the image, with scale, legend and date",
    "flood.tif": "classes: 0 land, 1 flood, 2 permanent water, 3 excluded, 255 nodata",
    "flood.qml": "names and colours of the classes in QGIS",
    "water_probability.tif": "water probability in percent",
    "water_probability.qml": "its colours in QGIS",
    "flood.gpkg": "polygons with areas",
    **DEPTH_FILES,
    "item.json": "STAC item of these files",
    "summary.json": "areas, settings and notes, machine-readable",
}

_DECIDED_BY = {"both": "both sensors", "sar": "radar alone", "optical": "the optical image alone"}
"""Sensors by their keys in ``sensor_shares`` of the summary."""


def print_map(flood_map: FloodMap) -> None:
    """Print areas, notes and products of a map."""
    console = Console(highlight=False, markup=False)
    summary, areas = flood_map.summary, flood_map.areas
    runtime = summary["runtime"]
    flood_label = "flood" if areas["permanent_water"] is not None else "open water"
    for name, label in (("flood", flood_label), ("permanent_water", "permanent water"), ("land", "land")):
        if areas[name] is not None:
            console.print(f"{label:>16}  {areas[name]:,.2f} km²")
    extent = "area of interest" if "aoi" in summary["inputs"] else "scene"
    console.print(
        f"{'mapped':>16}  {percent(summary['valid_share'])} of the {extent}, in {summary['seconds']:.1f} s, by "
        f"{runtime['name']} {runtime['precision']} on {runtime['device']}",
        soft_wrap=True,
    )
    choice = summary.get("model_choice")
    console.print(f"{'model':>16}  {summary['model']}{f' ({choice})' if choice else ''}", soft_wrap=True)
    if "sensor_shares" in summary:
        shares = (f"{label} {percent(summary['sensor_shares'][name])}" for name, label in _DECIDED_BY.items())
        console.print(f"{'decided by':>16}  {', '.join(shares)}", soft_wrap=True)
    for name, text in depth_rows(summary["depth"]) if "depth" in summary else ():
        console.print(f"{name:>16}  {text}", soft_wrap=True)
    for sentence in summary["assumptions"]:
        console.print(f"{'note':>16}  {as_flags(sentence)}", soft_wrap=True)
    if flood_map.out_dir is not None:
        console.print()
        for name, meaning in _FILES.items():
            if not (flood_map.out_dir / name).is_file():
                continue
            console.print(f"  {flood_map.out_dir / name}  {meaning}", soft_wrap=True)
