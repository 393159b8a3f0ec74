"""Terminal report of a series of maps."""

from rich.console import Console

from floodseg.analysis.series.run import FloodSeries
from floodseg.app.flags import as_flags
from floodseg.messages import percent, printable

_FILES = {
    "quicklook.png": "picture of the frequency",
    "areas.png": "areas over time",
    "areas.csv": "areas of each date",
    "frequency.tif": "water share of the clear observations in percent",
    "n_valid.tif": "number of clear observations",
    "first_wet.tif": "first date with water, in days since 1970-01-01",
    "last_wet.tif": "last date with water",
    "duration_min.tif": "shortest duration in days",
    "duration_max.tif": "longest duration in days, where the flood begins and ends within the series",
    "duration_bracket.tif": "where the duration is open: 1 closed, 2 open before, 3 open after, 4 open",
    "wet_spells.tif": "number of wet spells",
    "reference_water_01.tif": "reference water of January, for --permanent-water; one file for each month",
    "item.json": "STAC item of these files",
    "summary.json": "dates, areas, settings and notes, machine-readable",
}


def print_series(series: FloodSeries) -> None:
    """Print period, areas, notes and products of a series."""
    console = Console(highlight=False, markup=False)
    summary, rows = series.summary, series.summary["areas"]
    orbits = ", ".join(summary["orbits"])
    most = max(rows, key=lambda row: float(row["water_km2"]))
    clear = sum(row["clear_share"] for row in rows) / len(rows)
    for label, text in (
        ("dates", f"{len(rows)}, {rows[0]['datetime'][:10]} to {rows[-1]['datetime'][:10]}"),
        ("orbit", orbits),
        ("most water", f"{most['water_km2']:,.2f} km² on {most['datetime'][:10]}"),
        ("clear", f"{percent(clear)} of the area, mean of all dates"),
        *(("note", as_flags(sentence)) for sentence in summary["assumptions"]),
    ):
        console.print(f"{label:>16}  {printable(text)}", soft_wrap=True)
    console.print()
    for name, meaning in _FILES.items():
        if (series.out_dir / name).is_file():
            console.print(f"  {series.out_dir / name}  {meaning}", soft_wrap=True)
