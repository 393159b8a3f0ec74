"""Maps and files that are odd, damaged or changed while the app runs: one of them never hides the others."""

import json
import os
import shutil
import zipfile
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import floodseg
from app_server import AppProcess
from floodseg.server import companions, layers
from floodseg.server.downloads import archive
from floodseg.server.folders import Folders
from floodseg.server.scenes import Scenes, scene_id
from scenes import sar_values, write_sar

PLACE = "value?lon=15.01&lat=45.14"
BOX = {"type": "Polygon", "coordinates": [[[14, 44], [16, 44], [16, 46], [14, 46], [14, 44]]]}

WRONG = {
    "infinite": ("valid_share", "1e999"),
    "half_character": ("datetime", r'"\ud800"'),
    "no_crs": ("grid", '{"transform": [10, 0, 5e5, 0, -10, 5e6], "height": 300, "width": 260}'),
    "flat_grid": ("grid", '{"crs": "EPSG:32633", "transform": [0, 0, 5e5, 0, -10, 5e6], "height": 300, "width": 260}'),
    "huge_integer": ("grid", f'{{"crs": null, "transform": [1{"0" * 400}, 0, 0, 0, 1, 0], "height": 1, "width": 1}}'),
    "input_is_text": ("inputs", '{"sar": "sar.tif"}'),
    "input_is_number": ("inputs", '{"sar": [1]}'),
    "unit": ("settings", '{"sar_units": "watts"}'),
    "offset": ("settings", '{"optical_offset": "x"}'),
    "area_is_text": ("area_km2", '{"flood": "x"}'),
    "assumption": ("assumptions", "[1]"),
    "depth_is_number": ("depth", "3"),
}
"""Entry of summary.json and its wrong value, by the name of the map."""
NOWHERE = {
    "site": 'LOCAL_CS["site",UNIT["metre",1]]',
    "far": "EPSG:32633",
}
"""Coordinate system of a map without a place on the Earth, by the name of the map."""


def with_entry(folder: Path, name: str, value: str) -> None:
    """Write ``value``, which is JSON, as an entry of the summary of a map."""
    summary = json.loads((folder / "summary.json").read_text())
    text = json.dumps(summary | {name: "VALUE"}).replace('"VALUE"', value)
    (folder / "summary.json").write_text(text)


@pytest.fixture(scope="module")
def odd(map_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[AppProcess]:
    """An app with odd copies of a map, each named after what is odd."""
    root = tmp_path_factory.mktemp("odd")
    for name in (
        *WRONG,
        *NOWHERE,
        "old",
        "pipe",
        "other_item",
        "unknown_areas",
        "float_percent",
        b"caf\xe9".decode(errors="surrogateescape"),
    ):
        shutil.copytree(map_root / "maps/river", root / name)
    for name, entry in WRONG.items():
        with_entry(root / name, *entry)
    for name, crs in NOWHERE.items():
        grid = {"crs": crs, "transform": [10, 0, 5e7, 0, -10, 5e7], "height": 300, "width": 260}
        with_entry(root / name, "grid", json.dumps(grid))
    for file in (root / "old").iterdir():
        os.utime(file, (0, 0))
    for name in ("item.json", "water_probability.tif"):
        (root / "pipe" / name).unlink()
        os.mkfifo(root / "pipe" / name)
    (root / "other_item/item.json").write_text('{"assets": {"x": {}}}')
    grid = {"crs": "EPSG:4326", "transform": [0.001, 0, 15, 0, -0.5, 50], "height": 300, "width": 260}
    with_entry(root / "unknown_areas", "grid", json.dumps(grid))
    write_sar(root / "float_percent/water_probability.tif", sar_values(300, 260))
    for name in ("depth", "exposure"):
        (root / name).mkdir()
    (root / "depth/summary.json").write_text("{")
    (root / "exposure/exposure.json").write_text('{"map": 1e999}')
    with AppProcess(root) as process:
        yield process


def test_wrong_summaries_are_problems_and_the_other_maps_are_listed(odd: AppProcess) -> None:
    listing = odd.request("api/scenes").json()
    assert {Path(text.partition("/summary.json:")[0]).name for text in listing["problems"]} == set(WRONG)
    places = {scene["name"]: scene["bounds"] for scene in listing["scenes"]}
    assert {"old", "pipe", "caf\udce9"} <= set(places)
    assert [places[name] for name in NOWHERE] == [None, None]


@pytest.mark.parametrize(
    ("name", "path", "sentence"),
    [
        ("infinite", "", "is not JSON (Out of range float values"),
        ("unit", PLACE, "is not the summary of a map (settings)"),
        ("caf\udce9", "", "has a name that is not UTF-8; rename it"),
        ("caf\udce9", "polygons", "cannot be read as polygons"),
        ("pipe", "", "water_probability.tif: no such file"),
        ("float_percent", PLACE, "has the data type float32, and not uint8; map the scene again"),
        ("unknown_areas", "areas", "areas are unknown"),
        ("site", "areas", "has no coordinate system"),
    ],
)
def test_odd_maps_are_refused(odd: AppProcess, name: str, path: str, sentence: str) -> None:
    address = f"api/scenes/{scene_id(odd.folder.resolve() / name)}/{path}".rstrip("/")
    answer = odd.request(address, "POST", BOX) if path == "areas" else odd.request(address)
    assert 400 <= answer.status < 500, answer.body
    assert sentence in answer.json()["error"]


def test_damaged_depth_and_exposure_are_notes(odd: AppProcess) -> None:
    details = odd.request(f"api/scenes/{scene_id(odd.folder.resolve() / 'other_item')}").json()
    assert (details["depth"], details["exposure"], len(details["files"])) == (None, None, 9)
    for name in ("depth/summary.json", "exposure/exposure.json"):
        assert any(f"{name}: is not JSON" in note for note in details["notes"])


def test_archive_of_a_map_with_times_before_1980(odd: AppProcess) -> None:
    answer = odd.request(f"files/{scene_id(odd.folder.resolve() / 'old')}.zip")
    with zipfile.ZipFile(BytesIO(answer.body)) as content:
        assert content.testzip() is None
        assert content.read("old/flood.tif") == (odd.folder / "old/flood.tif").read_bytes()


def test_archive_holds_one_map_if_it_is_made_again_meanwhile(map_root: Path, tmp_path: Path) -> None:
    shutil.copytree(map_root / "maps/river", tmp_path / "river")
    expected = {
        file.name: file.read_bytes() for file in (map_root / "maps/river").iterdir() if file.name != "secret.txt"
    }
    folders = Folders([tmp_path])
    parts = archive(Scenes(folders).get(scene_id(tmp_path / "river")), folders)
    first = next(parts)
    shutil.rmtree(tmp_path / "river")
    with zipfile.ZipFile(BytesIO(first + b"".join(parts))) as content:
        assert {Path(name).name: content.read(name) for name in content.namelist()} == expected


def test_depth_and_exposure_are_shown_only_for_the_map_from_which_they_were_made(
    map_root: Path, tmp_path: Path
) -> None:
    for name in ("river", "depth", "exposure"):
        shutil.copytree(map_root / "maps" / name, tmp_path / name)
    folders = Folders([tmp_path])

    def make(name: str) -> None:
        floodseg.predict_scene(
            sar=map_root / "scene/sar.tif", model="otsu", out_dir=tmp_path / name, datetime="2024-10-31T05:27:14",
            overwrite=True,
        )  # fmt: skip

    def shown(name: str) -> tuple[bool, bool, bool]:
        scene = Scenes(folders).get(scene_id(tmp_path / name))
        return (
            companions.depth_folder(scene, folders) is not None,
            companions.depth_document(scene, folders) is not None,
            companions.exposure_rows(scene, folders) is not None,
        )

    make("other")
    assert shown("river") == (True,) * 3
    assert shown("other") == (False,) * 3, "of the same grid and time"
    make("river")
    assert shown("river") == (False,) * 3, "made from the map that was replaced"


@pytest.fixture
def changing(tmp_path: Path) -> Iterator[tuple[AppProcess, str, Path]]:
    """An app, the address of its map, and the image of the map."""
    write_sar(tmp_path / "sar.tif", sar_values(300, 260))
    floodseg.predict_scene(sar=tmp_path / "sar.tif", model="otsu", out_dir=tmp_path / "map", datetime="2024-10-31")
    with AppProcess(tmp_path) as server:
        yield server, f"api/scenes/{scene_id(tmp_path / 'map')}", tmp_path / "sar.tif"


def test_values_follow_a_replaced_image(changing: tuple[AppProcess, str, Path]) -> None:
    server, address, image = changing
    values = np.arange(2 * 300 * 260, dtype="f4").reshape(2, 300, 260) / 1e4 - 20

    def shown() -> Any:
        return server.request(f"{address}/{PLACE}").json()["sar_db"]

    write_sar(image, values)
    expected = shown()
    write_sar(image, values[:, 50:, 40:], origin=(500_400, 4_999_500))
    assert shown() == expected
    image.unlink()
    assert shown() is None
    assert "the image --sar is not shown" in server.request(address).json()["notes"][-1]
    write_sar(image, values)
    assert shown() == expected
    assert not any("is not shown" in note for note in server.request(address).json()["notes"])


def test_tile_is_drawn_again_after_a_change_of_its_meaning(changing: tuple[AppProcess, str, Path]) -> None:
    server, address, image = changing
    tile = address.replace("api/scenes", "tiles") + "/sar_vv/14/8874/5884.png"
    tag = server.request(tile).headers["etag"]
    with_entry(image.parent / "map", "settings", '{"sar_units": "linear"}')
    assert server.request(tile, headers={"If-None-Match": tag}).status == 200


def test_relative_image_is_the_one_above_the_map(
    map_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(map_root / "maps/river", tmp_path / "a/maps/river")
    with_entry(tmp_path / "a/maps/river", "inputs", '{"sar": ["sar.tif"]}')
    for folder in ("a", "b"):
        (tmp_path / folder / "sar.tif").parent.mkdir(exist_ok=True)
        (tmp_path / folder / "sar.tif").touch()
    monkeypatch.chdir(tmp_path / "b")
    folders = Folders([tmp_path / "a", tmp_path / "b"])
    (state,) = layers.input_states(Scenes(folders).get(scene_id(tmp_path / "a/maps/river")), folders)
    assert state[0] == str(tmp_path / "a/sar.tif")
