"""Terminal reports of searches for passes, of fetched passes and of plans of maps."""

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
    from floodseg.workflows.fetch import FetchedPass
    from floodseg.workflows.map_place import MapPlan


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
    for each in fetched:
        console.print(f"{each.folder}: {percent(each.covered_share)} of the area has valid pixels", soft_wrap=True)
        console.print(f"  floodseg predict {each.predict_flags} --out-dir MAP", soft_wrap=True)
    for sensor in SENSORS:
        if sum(each.overpass.sensor == sensor for each in fetched) > 1:
            console.print(f"  floodseg predict-many {out_dir / f'{sensor}.json'} --out-dir MAPS", soft_wrap=True)


def print_plan(plan: "MapPlan") -> None:
    """Print the passes of a map and what would be read."""
    console = Console(highlight=False, markup=False)
    console.print(f"{printable(plan.found.area.label)} in {plan.found.source.name}: passes to map", soft_wrap=True)
    console.print(passes_table(plan.chosen.passes))
    if plan.before:
        console.print("the image from before is the median of")
        console.print(passes_table(plan.before))
    console.print(f"about {plan.bytes_to_read / 1e6:.1f} MB would be read")
    for note in plan.notes:
        console.print(printable(as_flags(note)), soft_wrap=True)
    if plan.found.area.attribution:
        console.print(plan.found.area.attribution)


def passes_table(passes: tuple[Pass, ...]) -> Table:
    """Return a table with one row for each pass."""
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    for name in ("pass", "time (UTC)", "orbit", "sensor"):
        table.add_column(name, no_wrap=True)
    for name in ("items", "area", "cloud", "MB", "days"):
        table.add_column(name, justify="right", no_wrap=True)
    for each in passes:
        direction = {"ascending": "asc", "descending": "desc", None: ""}[each.orbit_state]
        orbit = f"{direction} {'' if each.relative_orbit is None else each.relative_orbit}".strip()
        table.add_row(
            printable(each.platform),
            f"{each.datetime:%Y-%m-%d %H:%M}",
            orbit or "unknown",
            SENSOR_NAMES[each.sensor],
            str(len(each.items)),
            percent(each.covered_share, 0),
            "" if each.sensor == "sar" else "unknown" if each.cloud_share is None else percent(each.cloud_share, 0),
            f"{each.bytes_to_read / 1e6:.3g}",
            f"{each.days:+.1f}",
        )
    return table
