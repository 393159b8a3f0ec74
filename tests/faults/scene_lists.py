"""Lists of scenes for ``floodseg predict-many``, which are mapped one by one in this process, without a cluster.

The exit code is 3 if a scene cannot be mapped.
"""

import json
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import many_runs
import scenes
from faults.target import command

_SIZE = (24, 20)


def csv_files(folder: Path) -> dict[str, list[Path]]:
    _images(folder)
    valid = folder / "valid"
    plain = valid / "plain.csv"
    plain.write_text("id,sar,datetime\na,a.tif,2024-01-05\nb,b.tif,2024-01-06T05:43:21Z\n")
    full = valid / "full.csv"
    full.write_text(
        "id,sar,dem,max_slope,sar_units,allow_no_crs\n"
        'first,"VV.tif;VH.tif",dem.tif,12.5,db,true\n'
        "second,b.tif,,,,no\n"
    )  # fmt: skip
    return {"scenes.csv": [plain, full]}


def parquet_files(folder: Path) -> dict[str, list[Path]]:
    import geopandas
    import shapely

    _images(folder)
    table = geopandas.GeoDataFrame(
        {"id": ["a", "b"], "sar": [["VV.tif", "VH.tif"], ["b.tif"]], "max_slope": [None, 5.0],
         "dem": [None, "dem.tif"], "datetime": ["2024-01-05", None]},
        geometry=[shapely.box(0, 0, 1, 1)] * 2, crs=4326,
    )  # fmt: skip
    files = []
    for compression in ("snappy", "zstd", "gzip", None):
        files.append(folder / f"valid/{compression}.parquet")
        table.to_parquet(files[-1], compression=compression)
    return {"scenes.parquet": files}


def stac_files(folder: Path) -> dict[str, list[Path]]:
    """Write a collection with an item file and an item collection."""
    _images(folder)

    def item(name: str, assets: dict[str, str]) -> dict[str, Any]:
        return {
            "type": "Feature", "stac_version": "1.0.0", "id": name, "bbox": [14, 45, 15, 46], "geometry": None,
            "properties": {"datetime": "2024-01-05T05:43:21Z"}, "links": [],
            "assets": {key: {"href": href, "roles": ["data"]} for key, href in assets.items()},
        }  # fmt: skip

    documents: dict[str, Any] = {
        "collection.json": {
            "type": "Collection", "stac_version": "1.0.0", "id": "scenes", "description": "scenes", "license": "other",
            "extent": {"spatial": {"bbox": [[14, 45, 15, 46]]}, "temporal": {"interval": [["2024-01-05", None]]}},
            "links": [{"rel": "item", "href": "./a.json"}, {"rel": "child", "href": "more.json"},
                      {"rel": "license", "href": "https://example.org"}],
        },
        "a.json": item("a", {"vh": "VH.tif", "vv": "./VV.tif", "dem": "dem.tif", "thumbnail": "a.png"}),
        "more.json": {"type": "FeatureCollection", "features": [item("b", {"sar": "b.tif"})]},
    }  # fmt: skip
    for name, document in documents.items():
        (folder / "valid" / name).write_text(json.dumps(document))
    return {name: [folder / "valid" / name] for name in documents}


def map_all(name: str) -> Callable[[Path], None]:
    """Return a function that maps the scenes of the list of that name in a folder."""
    return partial(_predict_many, name)


def _predict_many(name: str, folder: Path) -> None:
    import pytest

    shutil.rmtree(folder / "maps", ignore_errors=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("floodseg.cluster.many.map_scenes", many_runs.map_one_by_one)
        command(
            "predict-many", folder / name, "--out-dir", folder / "maps", "--model", "otsu", "--threads", "1",
            "--retries", "0",
        )  # fmt: skip


def _images(folder: Path) -> None:
    (folder / "valid").mkdir(exist_ok=True)
    values = scenes.sar_values(*_SIZE)
    for name in ("a", "b"):
        scenes.write_sar(folder / f"{name}.tif", values)
    for band, name in enumerate(scenes.SAR_BANDS):
        scenes.write_raster(folder / f"{name}.tif", values[band : band + 1], names=(name,))
    scenes.write_raster(folder / "dem.tif", 0 * values[:1])
