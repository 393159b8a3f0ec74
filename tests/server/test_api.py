"""What the app shows of a map, compared with the files of the map."""

import json
import math
import zipfile
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from numpy.typing import NDArray
from PIL import Image
from rasterio.warp import transform

from app_server import AppProcess
from floodseg.products.cog import COLOURS

HALF_SIDE = 20_037_508.342789244


@pytest.fixture(scope="session")
def details(server: AppProcess, scene_id: str) -> Any:
    return server.request(f"api/scenes/{scene_id}").json()


def lonlat(path: Path, row: float, column: float) -> tuple[float, float]:
    """Return the place of a pixel position of a raster."""
    with rasterio.open(path) as source:
        (lon,), (lat,) = transform(source.crs, "EPSG:4326", *([each] for each in source.transform @ (column, row)))
    return lon, lat


def stored(path: Path) -> NDArray[Any]:
    with rasterio.open(path) as source:
        return source.read()


def test_list_of_maps(server: AppProcess, map_root: Path) -> None:
    listing = server.request("api/scenes").json()
    assert listing["problems"] == []
    (scene,) = listing["scenes"]
    summary = json.loads((map_root / "maps/river/summary.json").read_text())
    assert (scene["name"], scene["model"], scene["datetime"]) == ("river", "otsu", "2024-10-31T05:27:14Z")
    assert scene["area_km2"] == {name: summary["area_km2"][name] for name in ("flood", "permanent_water", "land")}
    west, south, east, north = scene["bounds"]
    assert (west, north) == pytest.approx(lonlat(map_root / "maps/river/flood.tif", 0, 0), abs=1e-4)
    assert (east, south) == pytest.approx(lonlat(map_root / "maps/river/flood.tif", 300, 260), abs=1e-4)
    thumbnail = Image.open(BytesIO(server.request(scene["thumbnail"]).body))
    assert max(thumbnail.size) == 320


def test_details_of_a_map(details: Any, map_root: Path) -> None:
    names = [layer["name"] for layer in details["layers"]]
    assert names == ["flood", "water_probability", "depth", "sar_vv", "sar_vh", "optical"]
    flood = {"code": 1, "name": "flood", "color": "#1f78b4", "km2": details["area_km2"]["flood"]}
    assert flood.items() <= details["areas"][0].items()
    percent = stored(map_root / "maps/river/water_probability.tif")
    valid = percent[percent != 255]
    assert details["histogram"]["edges"] == list(range(0, 101, 5))
    assert details["histogram"]["counts"] == np.histogram(valid, np.arange(0, 101, 5))[0].tolist()
    depth = json.loads((map_root / "maps/depth/summary.json").read_text())
    assert details["depth"]["volume_m3"] == depth["volume_m3"]
    (people,) = details["exposure"]
    assert (
        people["affected"]
        == json.loads((map_root / "maps/exposure/exposure.json").read_text())["consequences"][0]["affected"]
    )
    assert {"name": "flood.tif", "title": "Flood, permanent water and land"}.items() <= details["files"][1].items()
    assert any(note.endswith("sar.tif: the radar values are taken as dB") for note in details["notes"])


@pytest.mark.parametrize("zoom", [10, 14, 15, 17])
def test_tiles_have_the_colour_of_the_nearest_pixel(
    server: AppProcess, scene_id: str, map_root: Path, zoom: int
) -> None:
    path = map_root / "maps/river/flood.tif"
    lon, lat = lonlat(path, 150, 130)
    column, row = (lon + 180) / 360 * 2**zoom, (1 - math.asinh(math.tan(math.radians(lat))) / math.pi) / 2 * 2**zoom
    answer = server.request(f"tiles/{scene_id}/flood/{zoom}/{int(column)}/{int(row)}.png")
    tile = np.asarray(Image.open(BytesIO(answer.body)))
    assert (answer.headers["content-type"], tile.shape) == ("image/png", (256, 256, 4))
    side = 2 * HALF_SIDE / 2**zoom
    x = (int(column) + (np.arange(256) + 0.5) / 256) * side - HALF_SIDE
    y = HALF_SIDE - (int(row) + (np.arange(256) + 0.5) / 256) * side
    with rasterio.open(path) as source:
        classes, grid = source.read(1), ~source.transform
        places = transform("EPSG:3857", source.crs, *(axis.ravel() for axis in np.meshgrid(x, y)))
    columns, rows = np.floor(grid @ np.array(places)).astype(int)
    inside = (columns >= 0) & (columns < 260) & (rows >= 0) & (rows < 300)
    table = np.zeros((256, 4), np.uint8)
    table[list(COLOURS)] = list(COLOURS.values())
    expected = np.where(inside[:, None], table[classes[rows.clip(0, 299), columns.clip(0, 259)]], 0)
    equal = (tile.reshape(-1, 4) == expected).all(axis=1).mean()
    assert equal > (0.999 if zoom >= 14 else 0.98)  # below, the tile is read from overviews by mode
    assert len(np.unique(expected, axis=0)) >= 2


def test_tile_is_revalidated(server: AppProcess, scene_id: str) -> None:
    path = f"tiles/{scene_id}/optical/3/4/2.png"
    tag = server.request(path).headers["etag"]
    again = server.request(path, headers={"If-None-Match": tag})
    assert (again.status, again.body) == (304, b"")


def test_tile_outside_is_transparent(server: AppProcess, scene_id: str) -> None:
    tile = np.asarray(Image.open(BytesIO(server.request(f"tiles/{scene_id}/sar_vv/5/0/0.png").body)))
    assert tile.shape == (256, 256, 4)
    assert not tile.any()


@pytest.mark.parametrize(("row", "column"), [(150, 130), (40, 20), (290, 250), (145, 10)])
def test_values_at_a_point_are_those_of_the_rasters(
    server: AppProcess, scene_id: str, map_root: Path, row: int, column: int
) -> None:
    lon, lat = lonlat(map_root / "maps/river/flood.tif", row + 0.5, column + 0.5)
    values = server.request(f"api/scenes/{scene_id}/value?lon={lon}&lat={lat}").json()
    folder, scene = map_root / "maps", map_root / "scene"
    assert values["class"]["code"] == stored(folder / "river/flood.tif")[0, row, column]
    assert values["probability"] == stored(folder / "river/water_probability.tif")[0, row, column]
    depth = stored(folder / "depth/depth.tif")[0, row, column]
    assert values["depth_m"] == (None if np.isnan(depth) else pytest.approx(depth, abs=1e-3))
    radar = stored(scene / "sar.tif")[:, row, column]
    assert list(values["sar_db"].values()) == pytest.approx(radar, abs=1e-4)
    assert values["reflectance"]["B03"] == pytest.approx(stored(scene / "optical.tif")[2, row, column] / 1e4, abs=1e-4)


def test_values_at_nodata_are_null(server: AppProcess, scene_id: str, map_root: Path) -> None:
    lon, lat = lonlat(map_root / "maps/river/flood.tif", 5.5, 30.5)
    values = server.request(f"api/scenes/{scene_id}/value?lon={lon}&lat={lat}").json()
    assert values["class"] == {"code": 255, "name": "nodata"}
    assert (values["probability"], values["depth_m"], values["sar_db"]) == (None, None, None)


def box(path: Path, top: float, left: float, bottom: float, right: float) -> dict[str, Any]:
    """Return the polygon of a rectangle of pixels."""
    corners = [(top, left), (top, right), (bottom, right), (bottom, left), (top, left)]
    return {"type": "Polygon", "coordinates": [[lonlat(path, *corner) for corner in corners]]}


def test_areas_in_a_polygon(server: AppProcess, scene_id: str, details: Any, map_root: Path) -> None:
    path = map_root / "maps/river/flood.tif"
    complete = server.request(f"api/scenes/{scene_id}/areas", "POST", box(path, -9, -9, 309, 269)).json()
    assert [area["km2"] for area in complete["areas"]] == pytest.approx([area["km2"] for area in details["areas"]])
    assert complete["histogram"] == details["histogram"]
    assert complete["depth"]["volume_m3"] == pytest.approx(details["depth"]["volume_m3"])
    part = server.request(f"api/scenes/{scene_id}/areas", "POST", box(path, 100.2, 50.3, 199.8, 149.7)).json()
    classes, percent = (
        stored(path.with_name(name))[0, 100:200, 50:150] for name in ("flood.tif", "water_probability.tif")
    )
    pixel = details["areas"][0]["km2"] / (stored(path) == 1).sum()
    for area in part["areas"]:
        assert area["km2"] == pytest.approx((classes == area["code"]).sum() * pixel, rel=1e-4)
    assert sum(part["histogram"]["counts"]) == (percent != 255).sum()


def test_polygons_in_degrees(server: AppProcess, scene_id: str, details: Any) -> None:
    answer = server.request(f"api/scenes/{scene_id}/polygons")
    assert answer.headers["content-type"] == "application/geo+json"
    features = answer.json()["features"]
    assert {feature["properties"]["class"] for feature in features} == {"flood", "permanent_water"}
    areas = [each["properties"]["area_m2"] for each in features if each["properties"]["class"] == "flood"]
    assert sum(areas) / 1e6 == pytest.approx(details["area_km2"]["flood"])
    west, south, east, north = details["bounds"]
    lon, lat = np.array([point for each in features for ring in each["geometry"]["coordinates"] for point in ring]).T
    assert west - 1e-6 <= lon.min() < lon.max() <= east + 1e-6
    assert south - 1e-6 <= lat.min() < lat.max() <= north + 1e-6


def test_downloads_are_the_files(server: AppProcess, scene_id: str, details: Any, map_root: Path) -> None:
    folder = map_root / "maps/river"
    for file in details["files"]:
        answer = server.request(f"files/{scene_id}/{file['name']}")
        assert answer.body == (folder / file["name"]).read_bytes()
        assert len(answer.body) == file["bytes"]
    part = server.request(f"files/{scene_id}/flood.tif", headers={"Range": "bytes=100-199"})
    assert (part.status, part.body) == (206, (folder / "flood.tif").read_bytes()[100:200])
    archive = zipfile.ZipFile(BytesIO(server.request(f"files/{scene_id}.zip").body))
    assert archive.testzip() is None
    assert {name: archive.read(name) for name in archive.namelist()} == {
        f"river/{file['name']}": (folder / file["name"]).read_bytes() for file in details["files"]
    }


def test_information_and_files(server: AppProcess, map_root: Path) -> None:
    info = server.request("api/info").json()
    assert (info["allow_remote"], info["basemap"], info["map_settings"]) == (False, False, [])
    assert [folder["path"] for folder in info["folders"]] == [str(map_root)]
    assert {"s1-lite", "s1s2"} <= {model["name"] for model in info["models"]}
    settings = {setting["name"]: setting for setting in info["settings"]}
    assert settings["sar"] | {"help": ""} == {
        "name": "sar", "title": "Radar image", "help": "", "type": "file", "choices": None, "default": [],
        "multiple": True,
    }  # fmt: skip
    assert settings["sar_units"]["choices"] == ["db", "linear", "amplitude"]
    assert settings["threshold"]["type"] == "number"
    assert settings["tta"]["type"] == "bool"
    assert all(setting["help"] for setting in settings.values())
    listing = server.request(f"api/files?folder={info['folders'][0]['name']}&path=scene").json()
    assert {Path(file["path"]).name for file in listing["files"]} >= {"sar.tif", "optical.tif", "dem.tif"}
    assert server.request(f"api/files?folder={info['folders'][0]['name']}&path=").json()["folders"] == ["maps", "scene"]


def test_answers_forbid_other_pages(server: AppProcess) -> None:
    headers = server.request("api/info").headers
    assert headers["referrer-policy"] == "no-referrer"
    assert "default-src 'self'" in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
