"""Documents of a series: table of areas, STAC item and summary."""

import csv
import io
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pystac
from numpy.typing import NDArray
from pystac.extensions.classification import Classification, ClassificationExtension

from floodseg.analysis.series.dates import SeriesDate
from floodseg.analysis.series.layers import Layer, months_without_dates
from floodseg.config.base import flatten
from floodseg.config.series import SeriesConfig
from floodseg.geo.grid import GeoGrid
from floodseg.products.folder import ITEM, SUMMARY
from floodseg.products.stac import add_projection, outline
from floodseg.products.strips import CLASS_NAMES, EXCLUDED, FLOOD, LAND, NODATA, PERMANENT_WATER
from floodseg.products.summary import versions

AREAS = "areas.csv"
AREAS_PLOT = "areas.png"
QUICKLOOK = "quicklook.png"

Row = dict[str, Any]
"""Areas of one date; the keys are the columns of ``areas.csv``."""


@dataclass(frozen=True, slots=True)
class SeriesInfo:
    """What the documents of a series are made from."""

    config: SeriesConfig
    dates: Sequence[SeriesDate]
    grid: GeoGrid
    layers: Sequence[Layer]
    statistics: Mapping[str, Mapping[str, float]]
    """Statistics of each raster by its name."""
    rows: Sequence[Row]
    assumptions: Sequence[str]


def area_rows(dates: Sequence[SeriesDate], square_metres: NDArray[np.float64]) -> list[Row]:
    """Return the areas of each date; ``square_metres`` (dates, codes) are in the order of ``CLASS_NAMES``."""
    codes = list(CLASS_NAMES)

    def row(date: SeriesDate, areas: NDArray[np.float64]) -> Row:
        km2 = dict(zip(codes, (areas / 1e6).tolist(), strict=True))
        water = km2[FLOOD] + km2[PERMANENT_WATER]
        return {
            "datetime": utc_text(date.time), "orbit": date.orbit, "maps": len(date.maps), "water_km2": water,
            "flood_km2": km2[FLOOD], "permanent_water_km2": km2[PERMANENT_WATER], "land_km2": km2[LAND],
            "excluded_km2": km2[EXCLUDED], "nodata_km2": km2[NODATA],
            "clear_share": (water + km2[LAND]) / sum(km2.values()),
        }  # fmt: skip

    return [row(*each) for each in zip(dates, square_metres, strict=True)]


def areas_csv(rows: Sequence[Row]) -> str:
    """Return the table of areas as CSV: square kilometres with 6 digits after the point."""
    text = io.StringIO()
    writer = csv.DictWriter(text, rows[0], lineterminator="\n")
    writer.writeheader()
    writer.writerows(
        {name: f"{value:.6f}" if isinstance(value, float) else value for name, value in row.items()} for row in rows
    )
    return text.getvalue()


def utc_text(time: datetime) -> str:
    """Return a time in UTC as ISO 8601."""
    return time.isoformat().replace("+00:00", "Z")


def item(info: SeriesInfo) -> dict[str, Any]:
    """Return the STAC item of the series: ``datetime`` is null, its start and end are set."""
    spatial = outline(info.grid)
    out_dir = info.config.out_dir.absolute()
    first, last = info.dates[0].time, info.dates[-1].time
    made = pystac.Item(
        out_dir.name, spatial["geometry"], spatial["bbox"], None, properties={},
        start_datetime=first, end_datetime=last,
    )  # fmt: skip
    made.common_metadata.title = f"Water from {first:%Y-%m-%d} to {last:%Y-%m-%d}, {len(info.dates)} dates"
    made.common_metadata.description = "Frequency, dates and duration of water in maps of several dates, by floodseg"
    made.common_metadata.gsd = spatial["properties"]["gsd"]
    add_projection(made, info.grid)
    for link in _source_links(info.dates, out_dir):
        made.add_link(pystac.Link(pystac.RelType.DERIVED_FROM, link, pystac.MediaType.GEOJSON))
    for layer in info.layers:
        made.add_asset(layer.name, _raster(layer, info.statistics[layer.name]))
        if layer.format.names:
            classes = ClassificationExtension.ext(made.assets[layer.name], add_if_missing=True)
            classes.classes = [
                Classification.create(value=code, name=name.partition(":")[0].replace(" ", "_"), title=name)
                for code, name in layer.format.names.items()
            ]
    for file, title, kind, role in (
        (AREAS, "Areas of each date", "text/csv", "data"),
        (AREAS_PLOT, "Plot of the areas", pystac.MediaType.PNG, "overview"),
        (QUICKLOOK, "Picture of the frequency", pystac.MediaType.PNG, "overview"),
        (SUMMARY, "Dates, settings and notes", pystac.MediaType.JSON, "metadata"),
    ):
        made.add_asset(file.replace(".", "_"), pystac.Asset(f"./{file}", title, None, kind, [role]))
    document: dict[str, Any] = made.to_dict(include_self_link=False, transform_hrefs=False)
    return document


def _raster(layer: Layer, statistics: Mapping[str, float]) -> pystac.Asset:
    band: dict[str, Any] = {"name": layer.name, "data_type": layer.format.dtype, "statistics": dict(statistics)}
    band |= {} if layer.format.nodata is None else {"nodata": layer.format.nodata}
    band |= {} if layer.format.unit is None else {"unit": layer.format.unit}
    title = layer.format.description[0].upper() + layer.format.description[1:]
    return pystac.Asset(f"./{layer.file}", title, None, pystac.MediaType.COG, ["data"], {"bands": [band]})


def _source_links(dates: Sequence[SeriesDate], out_dir: Path) -> list[str]:
    """Return the items of the maps, relative to the folder of the products."""
    items = [Path(each.path).absolute().with_name(ITEM) for date in dates for each in date.maps]
    return [Path(os.path.relpath(path, out_dir)).as_posix() for path in dict.fromkeys(items) if path.is_file()]


def summary(info: SeriesInfo) -> dict[str, Any]:
    """Return the content of ``summary.json``. It holds no duration of the run: equal inputs give equal bytes."""
    missing = months_without_dates(info.dates)
    grid = info.grid
    return {
        "dates": len(info.dates),
        "start_datetime": utc_text(info.dates[0].time),
        "end_datetime": utc_text(info.dates[-1].time),
        "orbits": sorted({each.orbit for each in info.dates}),
        "reference_water": {"written": not missing, "months_without_dates": missing},
        "largest_water_km2": max(row["water_km2"] for row in info.rows),
        "statistics": {name: dict(values) for name, values in info.statistics.items()},
        "areas": list(info.rows),
        "maps": [
            {
                "map": each.path, "datetime": utc_text(each.acquired.time), "datetime_source": each.acquired.source,
                "orbit": each.orbit, "date": number,
            }
            for number, date in enumerate(info.dates, start=1) for each in date.maps
        ],
        "assumptions": list(info.assumptions),
        "settings": {name: value for name, value in flatten(info.config).items() if name != "out_dir"},
        "grid": {"crs": grid.crs, "transform": list(grid.transform), "height": grid.height, "width": grid.width},
        "versions": versions(),
    }  # fmt: skip
