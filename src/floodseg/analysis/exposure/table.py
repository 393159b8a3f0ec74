"""Table of the figures: one row for each quantity in each zone, and for each class of depth."""

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields

from floodseg.analysis.exposure.figures import Item
from floodseg.analysis.exposure.observed import DEPTH_CLASSES
from floodseg.analysis.exposure.run import Run

DEPTH_NAMES = (*DEPTH_CLASSES, "depth unknown")
"""Names of the parts of ``Figure.by_depth``."""


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the table. A class of depth has only the affected quantity."""

    region: str
    """``total``, or the name of a region."""
    layer: str
    item: str
    depth: str | None
    """Class of depth; None for all depths."""
    unit: str
    total_in_area: float | None
    affected: float
    not_seen: float | None
    affected_or_not_seen: float | None
    not_affected: float | None
    source: str
    source_date: str
    licence: str
    region_share_on_map: float | None
    """Share of the region's area that lies on the map; None for the total."""


COLUMNS = tuple(entry.name for entry in fields(Row))


def table_rows(run: Run) -> list[Row]:
    """Return the rows, by zone, item and class of depth."""
    return [row for number in range(len(run.zones.names)) for item in run.items for row in _rows(run, number, item)]


def _rows(run: Run, number: int, item: Item) -> Iterator[Row]:
    zone, figure, source = run.zones.names[number], item.figures[number], run.sources[item.layer]
    origin = (source.name, source.date, source.licence, run.zones.shares[number])
    yield Row(
        zone, item.layer, item.name, None, item.unit, figure.total, figure.affected, figure.not_seen, figure.upper,
        figure.not_affected, *origin,
    )  # fmt: skip
    for depth, affected in zip(DEPTH_NAMES, figure.by_depth, strict=False):
        yield Row(zone, item.layer, item.name, depth, item.unit, None, affected, None, None, None, *origin)


def csv_text(rows: Sequence[Row]) -> str:
    """Return the table as CSV, UTF-8, with a header; unknown values are empty."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows([getattr(row, name) for name in COLUMNS] for row in rows)
    return text.getvalue()
