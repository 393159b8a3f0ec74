"""Products of an exposure run: table, GeoPackage, chart, STAC item and JSON."""

import json
import time
from pathlib import Path
from typing import Any

from floodseg.analysis.exposure.chart import draw_chart
from floodseg.analysis.exposure.document import document
from floodseg.analysis.exposure.geopackage import write_geopackage
from floodseg.analysis.exposure.run import Run
from floodseg.analysis.exposure.stac_item import stac_item
from floodseg.analysis.exposure.table import csv_text, table_rows
from floodseg.products.folder import ITEM, ProductNames
from floodseg.system.files import write_text

TABLE, GEOPACKAGE, CHART, DOCUMENT = "exposure.csv", "exposure.gpkg", "exposure.png", "exposure.json"
PRODUCTS = ProductNames((TABLE, GEOPACKAGE, CHART, DOCUMENT), optional=(ITEM,))


def write_products(folder: Path, run: Run, started: float) -> dict[str, Any]:
    """Write all products into a folder, and return the content of exposure.json.

    Args:
        folder: folder of the files.
        run: inputs and results.
        started: value of ``time.monotonic`` at the start of the run.
    """
    rows = table_rows(run)
    write_text(folder / TABLE, csv_text(rows))
    write_geopackage(folder / GEOPACKAGE, run, rows)
    draw_chart(folder / CHART, run)
    content = document(run, time.monotonic() - started)
    if run.acquisition is not None:
        _write_json(folder / ITEM, stac_item(run, content))
    _write_json(folder / DOCUMENT, content)
    return content


def _write_json(path: Path, content: dict[str, Any]) -> None:
    write_text(path, json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n")
