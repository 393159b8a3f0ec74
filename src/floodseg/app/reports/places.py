"""Terminal report of a search for passes."""

from rich.console import Console
from rich.table import Table

from floodseg.app.flags import as_flags
from floodseg.catalog.passes import Pass
from floodseg.catalog.search import SearchResult
from floodseg.messages import SENSOR_NAMES, percent, printable


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


def passes_table(passes: tuple[Pass, ...]) -> Table:
    """Return a table with one row for each pass."""
    table = Table(box=None, pad_edge=False)
    for name in ("pass", "time (UTC)", "orbit", "sensor"):
        table.add_column(name, no_wrap=True)
    for name in ("items", "area", "cloud", "MB", "days"):
        table.add_column(name, justify="right", no_wrap=True)
    for each in passes:
        orbit = " ".join(filter(None, (each.orbit_state, _text(each.relative_orbit))))
        table.add_row(
            printable(each.platform),
            f"{each.datetime:%Y-%m-%d %H:%M}",
            orbit or "unknown",
            SENSOR_NAMES[each.sensor],
            str(len(each.items)),
            percent(each.covered_share, 0),
            "" if each.sensor == "sar" else "unknown" if each.cloud_share is None else percent(each.cloud_share, 0),
            f"{each.bytes_to_read / 1e6:.1f}",
            f"{each.days:+.1f}",
        )
    return table


def _text(value: int | None) -> str:
    return "" if value is None else str(value)
