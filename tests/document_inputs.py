"""Small simulated files with the names in the commands of the documentation."""

import json
import shutil
from datetime import UTC, datetime
from pathlib import Path

import geopandas
import numpy as np
import rasterio
import shapely
from rasterio.vrt import WarpedVRT

import ombria_files
from floodseg.simulate.demo_scene import DemoScene, make_demo_scene
from series_maps import write_map

_SIZE = 256
_CHIP = 64
_EVENTS = ("Ghana", "India", "Spain", "USA")
"""One row of chips each."""


def write_inputs(folder: Path) -> None:
    """Write a scene, its layers, a series of maps, layers of exposure, and the data set ``DIR`` in three layouts."""
    scene = make_demo_scene(folder / "scene", height=_SIZE, width=_SIZE)
    names = {
        scene.sar: ("S1.tif", "S1_before.tif", "S1_20230914.tif", "sar.tif", "IMAGE"),
        scene.optical: ("S2.tif",),
        scene.dem: ("dem.tif", "DEM.tif"),
        scene.permanent_water: ("occurrence.tif", "occurrence.vrt", "permanent_water.tif", "jrc.tif"),
        scene.truth: ("LABEL.tif",),
        scene.aoi: ("city.gpkg", "polygons.gpkg"),
    }
    for source, copies in names.items():
        for name in copies:
            shutil.copy(source, folder / name)
    (folder / "scenes.csv").write_text("id,sar,datetime\nvalley,S1.tif,2024-10-19\n", encoding="utf-8")
    item = {"type": "Feature", "id": "valley", "properties": {"datetime": "2024-10-19T05:30:00Z"}}
    item |= {"assets": {"sar": {"href": "./S1.tif"}}}
    (folder / "collection.json").write_text(json.dumps({"type": "FeatureCollection", "features": [item]}))
    write_chips(folder / "DIR", scene)
    shutil.copytree(folder / "DIR/S1Hand", folder / "chips/S1Hand")
    shutil.copytree(folder / "DIR/LabelHand", folder / "chips/LabelHand")
    for year in (2020, 2021, 2022, 2023):
        for month in range(1, 13):
            _write_dated_map(folder, scene.sar, year, month)
    shutil.copytree(folder / "MAPS", folder / "maps")
    _write_exposure(folder, scene.sar)


def write_chips(root: Path, scene: DemoScene) -> None:
    """Cut a scene into chips of four events: layout ``folders``, ``sen1floods11`` with its lists, and ``ombria``."""
    sources = {"S1Hand": scene.sar, "S2Hand": scene.optical, "LabelHand": scene.truth, "JRCWaterHand": scene.truth}
    hand = root / "v1.1/data/flood_events/HandLabeled"
    rows: dict[str, list[str]] = {}
    with rasterio.open(scene.sar) as opened:
        grid = {"crs": opened.crs, "transform": opened.transform, "height": opened.height, "width": opened.width}
    for kind, source in sources.items():
        for parent in (root, hand):
            (parent / kind).mkdir(parents=True)
        with rasterio.open(source) as stored, WarpedVRT(stored, **grid) as opened:
            values, profile, names = opened.read(), {**opened.profile, **grid}, stored.descriptions
            scales, offsets = stored.scales, stored.offsets
        values = values.astype(np.int16) if values.dtype == np.uint8 else values
        profile.update(driver="GTiff", dtype=values.dtype, nodata=None, height=_CHIP, width=_CHIP, tiled=False)
        for number in range((_SIZE // _CHIP) ** 2):
            top, left = (_CHIP * part for part in divmod(number, _SIZE // _CHIP))
            name = f"{_EVENTS[number // 4]}_{number}_{kind}.tif"
            with rasterio.open(hand / kind / name, "w", **profile) as target:
                target.write(values[:, top : top + _CHIP, left : left + _CHIP])
                target.descriptions, target.scales, target.offsets = names, scales, offsets
            shutil.copy(hand / kind / name, root / kind / name)
            split = ("train", "train", "valid", "test")[number % 4]
            rows.setdefault(split, []).append(f"{name},{name.replace(kind, 'LabelHand')}\n")
        if kind == "S1Hand":
            lists = root / "v1.1/splits/flood_handlabeled"
            lists.mkdir(parents=True)
            for split, lines in rows.items():
                (lists / f"flood_{split}_data.csv").write_text("".join(lines), encoding="utf-8")
    for number in (1, 2, 21, 22, 41, 42, 61, 62):
        ombria_files.write_set(root, number)


def _write_dated_map(folder: Path, sar: Path, year: int, month: int) -> None:
    """Write one map of a series on the grid of the scene: the first rows are water from March to May."""
    with rasterio.open(sar) as opened:
        transform, crs = opened.transform, str(opened.crs)
    codes = np.zeros((_SIZE, _SIZE), np.uint8)
    codes[: 16 * (month in (3, 4, 5)) + 16] = 1
    time = datetime(year, month, 9, 5, 27, 3, tzinfo=UTC)
    write_map(
        folder / "MAPS" / f"{time:%Y%m%d}" / "flood.tif", codes, time, orbit=("descending", 95), crs=crs,
        origin=(transform.c, transform.f), pixel=transform.a,
    )  # fmt: skip


def _write_exposure(folder: Path, sar: Path) -> None:
    """Write people, land cover, buildings, roads and districts of the scene."""
    with rasterio.open(sar) as opened:
        profile, bounds = opened.profile, opened.bounds
    profile.update(driver="GTiff", count=1, nodata=None, tiled=False)
    for names, values in (
        (("ghs_pop.tif", "people.tif"), np.full((_SIZE, _SIZE), 0.25, np.float32)),
        (("worldcover.tif", "land.tif"), np.full((_SIZE, _SIZE), 40, np.uint8)),
    ):
        for name in names:
            with rasterio.open(folder / name, "w", **{**profile, "dtype": values.dtype}) as target:
                target.write(values, 1)
    west, south, east, north = bounds
    middle = (west + east) / 2
    corners = [(middle + 40 * number, south + 40 * number) for number in range(9)]
    layers = {
        "buildings.gpkg": [shapely.box(x, y, x + 15, y + 15) for x, y in corners],
        "roads.gpkg": [shapely.LineString([(west, south), (east, north)])],
        "districts.gpkg": [shapely.box(west, south, middle, north), shapely.box(middle, south, east, north)],
    }  # fmt: skip
    for name, shapes in layers.items():
        columns = {"name": [f"{name[0]}{number}" for number in range(len(shapes))], "highway": "primary"}
        geopandas.GeoDataFrame(columns, geometry=shapes, crs=profile["crs"]).to_file(folder / name)
