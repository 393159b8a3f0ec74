"""Terminal report of a depth map."""

from typing import TYPE_CHECKING, Any

from rich.console import Console

from floodseg.app.flags import as_flags
from floodseg.messages import printable

if TYPE_CHECKING:  # the report of a map does not need its packages
    from floodseg.analysis.depth.depth_map import DepthMap

DEPTH_FILES = {
    "depth.png": "picture of the depth",
    "depth.tif": "water depth in metres, 0 on observed land",
    "depth_uncertainty.tif": "half width of the 90 % interval in metres",
    "water_level.tif": "water level in metres",
    "depth.qml": "colours of the depth in QGIS",
}
_FILES = DEPTH_FILES | {
    "item.json": "STAC item of these files",
    "summary.json": "volumes and areas by depth, settings and notes, machine-readable",
}


def print_depth(depth_map: "DepthMap") -> None:
    """Print area and volume by depth, notes and products."""
    console = Console(highlight=False, markup=False)
    summary = depth_map.summary
    for name, text in depth_rows(summary):
        console.print(f"{name:>16}  {text}", soft_wrap=True)
    for sentence in summary["assumptions"]:
        console.print(f"{'note':>16}  {printable(as_flags(sentence))}", soft_wrap=True)
    console.print()
    for name, meaning in _FILES.items():
        if (depth_map.out_dir / name).is_file():
            console.print(f"  {depth_map.out_dir / name}  {meaning}", soft_wrap=True)


def depth_rows(entries: dict[str, Any]) -> list[tuple[str, str]]:
    """Return label and text of each line on the depth; ``entries`` are those of ``summary.json``."""
    area, depth = entries["area_km2"], entries["depth_m"]
    rows = [("with depth", f"{area['with_depth']:,.2f} of {area['flood']:,.2f} km² of flood")]
    if depth["mean"] is not None:
        rows.append(("depth", f"mean {depth['mean']:.2f} m, largest {depth['maximum']:.2f} m"))
        rows.append(("volume", f"{entries['volume_m3']:,.0f} m³"))
    for each in entries["depth_classes"]:
        limits = f"to {each['up_to_m']:g} m" if each["up_to_m"] else f"above {each['above_m']:g} m"
        rows.append((limits, f"{each['area_km2']:,.2f} km², {each['volume_m3']:,.0f} m³"))
    for group in entries["floods"]["without_depth"]:
        if group["floods"]:
            noun = "flood" if group["floods"] == 1 else "floods"
            text = f"{group['floods']:,} {noun}, {group['area_km2']:,.2f} km²: {group['reason']}"
            rows.append(("without depth", text))
    return rows
