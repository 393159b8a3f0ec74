"""``exposure.json``: figures in the layout of the consequence tables of Copernicus EMS Rapid Mapping.

Each entry has the quantity, its unit, the total in the area and the affected part.
"""

from collections.abc import Mapping
from datetime import datetime, time
from typing import Any

from floodseg.analysis.exposure import sources
from floodseg.analysis.exposure.figures import Figure, Item
from floodseg.analysis.exposure.run import Run
from floodseg.analysis.exposure.table import DEPTH_NAMES
from floodseg.config.base import flatten
from floodseg.messages import redacted
from floodseg.products.summary import versions

_CATEGORIES = {
    "population": "Estimated population", "buildings": "Built-up", "roads": "Transportation", "landcover": "Land use",
}  # fmt: skip
LOWER_BOUND = (
    "radar misses water among buildings and under trees: affected people and buildings in towns and forests are a "
    "lower bound"
)
_NO_PERMANENT_WATER = (
    "the map has no class of permanent water: rivers and lakes count as flood, and people and land there as affected"
)

_OUTSIDE = (
    "the map was made for an area of interest, and all outside of it counts as not seen; give its polygons as "
    "`regions` to leave that out"
)


def document(run: Run, seconds: float) -> dict[str, Any]:
    """Return the content of ``exposure.json``."""
    acquired = run.acquisition.time.isoformat().replace("+00:00", "Z") if run.acquisition else None
    grid = run.observed.grid
    return {
        "map": {
            **run.map_entry, "datetime": acquired, "licence": run.map_tags.get("TIFFTAG_COPYRIGHT"),
            "grid": {
                "crs": grid.crs, "transform": list(grid.transform), "height": grid.height, "width": grid.width,
            },
        },
        "area": "union of the regions within the map" if run.zones.regions else "extent of the map",
        "consequences": _consequences(run, 0),
        "regions": [
            {
                "name": run.zones.names[number], "feature": run.zones.numbers[number],
                "share_on_map": run.zones.shares[number], "consequences": _consequences(run, number),
            }
            for number in range(1, len(run.zones.names))
        ],
        "layers": {layer: _layer(run, layer) for layer in run.sources},
        "assumptions": [redacted(note) for note in notes(run)],
        "settings": flatten(run.config),
        "versions": versions(),
        "seconds": seconds,
    }  # fmt: skip


def notes(run: Run) -> list[str]:
    """Return what a reader of the figures has to know, one sentence each."""
    found = [*run.zones.notes, *(note for result in run.results.values() for note in result.notes)]
    if not run.knows_permanent_water:
        found.append(_NO_PERMANENT_WATER)
    if not run.zones.regions and run.has_area_of_interest:
        found.append(_OUTSIDE)
    return [*found, *_time_notes(run), *sources.notes(run.sources), LOWER_BOUND]


def _time_notes(run: Run) -> list[str]:
    if run.acquisition is None:
        return ["`datetime`: the time of the map is unknown, so there is no item.json; set it to get one"]
    setting, acquired = run.config.datetime, run.acquisition.time
    if acquired.time() == time():
        return ["`datetime`: the time of day of the map is unknown, and 00:00 UTC is written; set it with its time"]
    if setting is not None and datetime.fromisoformat(setting.strip()).tzinfo is None:
        return [f"`datetime={setting}`: has no time zone and is taken as UTC; end it with Z, or with its zone (+02:00)"]
    return []


def _layer(run: Run, layer: str) -> dict[str, Any]:
    source = run.sources[layer]
    facts: Mapping[str, object] = run.results[layer].facts if layer in run.results else {}
    return {"file": source.file, "source": source.name, "date": source.date, "licence": source.licence, **facts}


def _consequences(run: Run, zone: int) -> list[dict[str, Any]]:
    return [_consequence(run, item, item.figures[zone]) for item in run.items]


def _consequence(run: Run, item: Item, figure: Figure) -> dict[str, Any]:
    source = run.sources[item.layer]
    entry = {
        "category": _CATEGORIES[item.layer],
        "item": item.name,
        "unit": item.unit,
        "total_in_area": figure.total,
        "affected": figure.affected,
        "not_seen": figure.not_seen,
        "affected_or_not_seen": figure.upper,
        "not_affected": figure.not_affected,
        "source": source.name,
        "source_date": source.date,
        "licence": source.licence,
    }
    if figure.by_depth:
        entry["affected_by_depth"] = dict(zip(DEPTH_NAMES, figure.by_depth, strict=True))
    return entry
