"""Terminal reports of searches for passes, of fetched passes and of the passes of a map."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from floodseg.app.flags import as_flags
from floodseg.bands import SENSORS
from floodseg.catalog.passes import Pass
from floodseg.catalog.search import SearchResult
from floodseg.messages import SENSOR_NAMES, percent, printable

if TYPE_CHECKING:  # a search does not need their packages
    from floodseg.workflows.fetched_pass import FetchedPass
    from floodseg.workflows.map_place import FoundScene


def print_search(result: SearchResult) -> None:
    """Print the passes as a table, and what was left out."""
    console = Console(highlight=False, markup=False)
    count = len(result.passes)
    console.print(
        f"{count} {'pass' if count == 1 else 'passes'} over {printable(result.area.label)} in {result.source.name}",
        soft_wrap=True,
    )
    console.print(passes_table(result.passes))
    for note in result.notes:
        console.print(printable(as_flags(note)), soft_wrap=True)
    if result.area.attribution:
        console.print(result.area.attribution)


def print_fetched(out_dir: Path, fetched: "Sequence[FetchedPass]") -> None:
    """Print the passes that were read, and the commands that map them."""
    console = Console(highlight=False, markup=False)
    for done in fetched:
        console.print(f"{done.folder}: {percent(done.covered_share)} of the area has valid pixels", soft_wrap=True)
        console.print(f"  floodseg predict {done.predict_flags} --out-dir MAP", soft_wrap=True)
    for sensor in SENSORS:
        if sum(done.overpass.sensor == sensor for done in fetched) > 1:
            console.print(f"  floodseg predict-many {out_dir / f'{sensor}.json'} --out-dir MAPS", soft_wrap=True)


def print_scene(scene: "FoundScene") -> None:
    """Print the passes of a map and what would be read."""
    console = Console(highlight=False, markup=False)
    console.print(f"{printable(scene.found.area.label)} in {scene.found.source.name}: passes to map", soft_wrap=True)
    console.print(passes_table(scene.passes))
    if scene.before:
        console.print("the image from before is the median of")
        console.print(passes_table(scene.before))
    console.print(f"about {scene.bytes_to_read / 1e6:.1f} MB would be read")
    for note in scene.notes:
        console.print(printable(as_flags(note)), soft_wrap=True)
    if scene.found.area.attribution:
        console.print(scene.found.area.attribution)


def passes_table(passes: tuple[Pass, ...]) -> Table:
    """Return a table with one row for each pass."""
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    for name in ("pass", "time (UTC)", "orbit", "sensor"):
        table.add_column(name, no_wrap=True)
    for name in ("items", "area", "cloud", "MB", "days"):
        table.add_column(name, justify="right", no_wrap=True)
    for overpass in passes:
        direction = {"ascending": "asc", "descending": "desc", None: ""}[overpass.orbit_state]
        cloud = overpass.cloud_share
        orbit = f"{direction} {'' if overpass.relative_orbit is None else overpass.relative_orbit}".strip()
        table.add_row(
            printable(overpass.platform),
            f"{overpass.datetime:%Y-%m-%d %H:%M}",
            orbit or "unknown",
            SENSOR_NAMES[overpass.sensor],
            str(len(overpass.items)),
            percent(overpass.covered_share, 0),
            "" if overpass.sensor == "sar" else "unknown" if cloud is None else percent(cloud, 0),
            f"{overpass.bytes_to_read / 1e6:.3g}",
            f"{overpass.days_after_date:+.1f}",
        )
    return table
