"""Requests that the app refuses with a sentence, and never with a traceback."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import rasterio.shutil

from app_server import TOKEN, AppProcess

SCENE = "{scene}"


@pytest.mark.parametrize(
    ("headers", "token", "sentence"),
    [
        ({"Host": "evil.example"}, TOKEN, "The host 'evil.example' is not this server"),
        ({"Host": "127.0.0.1.evil.example:80"}, TOKEN, "is not this server"),
        ({"Host": "192.168.0.7"}, TOKEN, "is not this server"),
        ({"Host": "[::1"}, TOKEN, "is not this server"),
        ({"Host": ""}, TOKEN, "is not this server"),
        ({"Origin": "http://evil.example"}, TOKEN, "comes from another page"),
        ({"Origin": "null"}, TOKEN, "comes from another page"),
        ({"Origin": "http://127.0.0.1:1"}, TOKEN, "comes from another page"),
        ({"Origin": "http://["}, TOKEN, "comes from another page"),
        ({}, "wrong", "lacks the token"),
        ({}, TOKEN[:-1], "lacks the token"),
        ({}, f"{TOKEN}x", "lacks the token"),
        ({}, "", "lacks the token"),
        ({}, f"..%2f{TOKEN}", "lacks the token"),
        ({}, "%C3%A4", "lacks the token"),
    ],
)
def test_guard(server: AppProcess, headers: dict[str, str], token: str, sentence: str) -> None:
    answer = server.request("api/info", headers=headers, token=token)
    assert answer.status == 403
    assert sentence in answer.body.decode()
    assert "content-security-policy" in answer.headers


@pytest.mark.parametrize("host", ["localhost:8437", "127.0.0.1", "[::1]:9000", "LOCALHOST"])
def test_names_of_this_machine(server: AppProcess, host: str) -> None:
    assert server.request("api/info", headers={"Host": host, "Origin": f"http://{host}"}).status == 200


@pytest.mark.parametrize(
    ("path", "status", "sentence"),
    [
        ("api/nothing", 404, "there is no such address"),
        ("static/../../config/app.py", 404, "there is no such address"),
        ("static/%2e%2e/run.py", 404, "there is no such address"),
        ("static//etc/passwd", 404, "there is no such address"),
        ("basemap.pmtiles", 404, "floodseg app with --basemap"),
        ("api/scenes/0123456789ab", 404, "is not in the folders of the app"),
        ("files/{scene}/..%2f..%2fscene%2fsar.tif", 404, "address"),
        ("files/{scene}/../../scene/sar.tif", 404, "address"),
        ("files/{scene}/%2fetc%2fpasswd", 404, "address"),
        ("files/{scene}/secret.txt", 404, "secret.txt: is not a product"),
        ("files/{scene}/nothing%00.tif", 404, "is not a product"),
        ("files/0123456789ab.zip", 404, "is not in the folders"),
        ("api/files?folder={name}&path=../..", 403, "is not in a folder of the app"),
        ("api/files?folder={name}&path=..%2f..", 403, "is not in a folder of the app"),
        ("api/files?folder={name}&path=%00", 403, "is not in a folder of the app"),
        ("api/files?folder={name}&path=outside", 403, "is not in a folder of the app"),
        ("api/files?folder={name}&path=/etc", 404, "no such file"),
        ("api/files?folder={name}&path=scene/sar.tif", 404, "is a file"),
        ("api/files?folder=other&path=", 404, "is not a folder of the app"),
        ("tiles/{scene}/flood/25/0/0.png", 400, "tile 25/0/0: does not exist"),
        ("tiles/{scene}/flood/3/8/0.png", 400, "does not exist"),
        ("tiles/{scene}/flood/3/0/8.png", 400, "does not exist"),
        ("tiles/{scene}/flood/99999999999/0/0.png", 400, "does not exist"),
        ("tiles/{scene}/flood/99999999999999999999/0/0.png", 400, "must be integers"),
        ("tiles/{scene}/flood/3/-1/0.png", 400, "must be integers"),
        ("tiles/{scene}/flood/1.5/0/0.png", 400, "must be integers"),
        ("tiles/{scene}/flood/%C2%B2/0/0.png", 400, "must be integers"),
        ("tiles/{scene}/other/3/0/0.png", 404, "layer 'other'"),
        ("api/scenes/{scene}/value?lon=1&lat=1", 404, "lies outside the map"),
        ("api/scenes/{scene}/value?lon=15&lat=95", 400, "is no place on the Earth"),
        ("api/scenes/{scene}/value?lon=nan&lat=45", 400, "is no place on the Earth"),
        ("api/scenes/{scene}/value?lon=inf&lat=45", 400, "is no place on the Earth"),
        ("api/scenes/{scene}/value?lon=x&lat=45", 400, "lon=x: must be a number"),
        ("api/scenes/{scene}/value", 400, "lon=: must be a number"),
        ("api/jobs/nothing", 404, "job 'nothing': does not exist"),
        ("api/jobs/nothing/events", 404, "job 'nothing': does not exist"),
        ("api/scenes/{scene}/areas", 405, "other methods"),
    ],
)
def test_refused_addresses(
    server: AppProcess, map_root: Path, scene_id: str, path: str, status: int, sentence: str
) -> None:
    answer = server.request(path.format(scene=scene_id, name=map_root.name))
    assert answer.status == status, answer.body
    assert sentence in answer.json()["error"]
    assert "Traceback" not in answer.body.decode()


def polygon(*points: Any) -> dict[str, Any]:
    return {"type": "Polygon", "coordinates": [list(points)]}


@pytest.mark.parametrize(
    ("body", "status", "sentence"),
    [
        (b"{", 400, "is not GeoJSON"),
        (b"[" * 100_000, 400, "is not GeoJSON"),
        (b"[]", 400, "is not GeoJSON"),
        ({"type": "Point", "coordinates": [1, 2]}, 400, "is no GeoJSON Polygon"),
        (polygon([0, 0], [1, 1]), 400, "GeoJSON"),
        (polygon([0, 0], [1e9, 0], [1, 1], [0, 0]), 400, "is no GeoJSON Polygon"),
        ({"type": "Polygon", "coordinates": []}, 400, "is no GeoJSON Polygon"),
        (b'{"type":"Polygon","coordinates":[[[NaN,0],[1,0],[1,1],[NaN,0]]]}', 400, "GeoJSON"),
        (polygon([0, 0], [1, 0], [1, 1], [0, 0]), 404, "holds no pixel of the map"),
        (polygon(*([15 + i % 7 / 99, 45 + i % 5 / 99] for i in range(1051))), 400, "crosses itself and has over 1000"),
        (b" " * (2**20 + 1), 413, "larger than 1048576 bytes"),
    ],
)
def test_refused_polygons(server: AppProcess, scene_id: str, body: Any, status: int, sentence: str) -> None:
    answer = server.request(f"api/scenes/{scene_id}/areas", "POST", body)
    assert answer.status == status, answer.body
    assert sentence in answer.body.decode()


def test_body_without_a_length_is_bounded(server: AppProcess, scene_id: str) -> None:
    import http.client

    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    parts = (b" " * 2**16 for _ in range(17))
    connection.request("POST", f"/{TOKEN}/api/scenes/{scene_id}/areas", parts, encode_chunked=True,
                       headers={"Transfer-Encoding": "chunked"})  # fmt: skip
    answer = connection.getresponse()
    assert (answer.status, "too large" in answer.read().decode()) == (413, True)
    connection.close()


def form(settings: Any, name: Any = "new", kind: str = "predict") -> dict[str, Any]:
    return {"kind": kind, "name": name, "settings": settings}


@pytest.mark.parametrize(
    ("body", "status", "sentence"),
    [
        (b"{", 400, "is not JSON"),
        (b"[]", 400, "needs a kind"),
        (form({}, kind="train"), 400, "needs a kind"),
        (form([]), 400, "needs a kind"),
        (form({}, name="../other"), 400, "the name of a map"),
        (form({}, name=".hidden"), 400, "the name of a map"),
        (form({}, name="a/b"), 400, "the name of a map"),
        (form({}, name="--help"), 400, "the name of a map"),
        (form({}, name="x" * 81), 400, "the name of a map"),
        (form({}, name="水" * 80), 400, "at most 200 bytes"),
        (form({}, name="x\u202e"), 400, "the name of a map"),
        (form({}, name=3), 400, "the name of a map"),
        (form({}, kind="map"), 400, "start floodseg app with --allow-remote"),
        (form({}, name="outside"), 403, "a link to a place outside"),
        (form({"sar": "{sar}"}, name="maps/river"), 400, "the name of a map"),
        (form({"out_dir": "/tmp/x"}), 400, "--out-dir: is not a setting of this form"),
        (form({"allow_remote": True}), 400, "--allow-remote: is not a setting of this form"),
        (form({"sar": "/etc/passwd"}), 403, "/etc/passwd: is not in a folder of the app"),
        (form({"sar": ["{root}/outside/etc/passwd"]}), 403, "is not in a folder of the app"),
        (form({"sar": "scene/sar.tif"}), 403, "is not in a folder of the app"),
        (form({"sar": "https://example.com/sar.tif"}), 403, "is not in a folder of the app"),
        (form({"sar": "/vsicurl/https://example.com/sar.tif"}), 403, "is not in a folder of the app"),
        (form({"sar": "{root}/scene/nothing.tif"}), 404, "no such file"),
        (form({"aoi": ["{root}/scene/sar.tif", "{root}/scene/dem.tif"]}), 400, "must be one file"),
        (form({"sar": 3}), 400, "--sar: must be files"),
        (form({"sar": "{sar}", "threshold": 2}), 422, "--threshold 2: must be above 0 and below 1"),
        (form({"sar": "{sar}", "threshold": "0.5"}), 400, "must be a number"),
        (form({"sar": "{sar}", "tta": 1}), 400, "must be a truth value"),
        (form({"sar": "{sar}", "permanent_water_threshold": 10**400}), 400, "must be a number"),
        (form({"sar": "{sar}", "sar_units": "watts"}), 422, "--sar-units watts: must be one of db, linear"),
        (form({"sar": "{sar}", "max_slope": 10}), 422, "has no effect without --dem"),
        (form({"sar": "{sar}", "model": "/etc/passwd"}), 400, "--model /etc/passwd: must be one of auto"),
        (form({"sar": "{sar}", "datetime": "a\nb"}), 400, "holds control characters"),
    ],
)
def test_refused_jobs(server: AppProcess, map_root: Path, body: Any, status: int, sentence: str) -> None:
    if not isinstance(body, bytes):
        text = json.dumps(body).replace("{sar}", str(map_root / "scene/sar.tif")).replace("{root}", str(map_root))
        body = text.encode()
    answer = server.request("api/jobs", "POST", body)
    assert answer.status == status, answer.body
    assert sentence in answer.json()["error"]
    assert server.request("api/jobs").json()["jobs"] == []


@pytest.fixture(scope="module")
def damaged(map_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[AppProcess]:
    """An app with damaged copies of a map, each named after its damage."""
    root = tmp_path_factory.mktemp("damaged")
    names = (
        "no_json", "other_json", "list", "huge_numbers", "no_raster", "cut_raster", "other_size", "no_picture",
        "no_polygons", "link", "deep", "not_utf8", "linked_raster", "linked_summary", "vrt",
    )  # fmt: skip
    for name in names:
        shutil.copytree(map_root / "maps/river", root / name)
    summary = json.loads((root / "list/summary.json").read_text())
    (root / "no_json/summary.json").write_text("{")
    (root / "deep/summary.json").write_text("[" * 100_000)
    (root / "not_utf8/summary.json").write_bytes(b"\xff{}")
    (root / "other_json/summary.json").write_text('{"area_km2": {}}')
    (root / "list/summary.json").write_text(json.dumps(summary | {"grid": []}))
    (root / "huge_numbers/summary.json").write_text(json.dumps(summary).replace('"width": 260', '"width": 1e999'))
    (root / "no_raster/flood.tif").write_bytes(b"II*\0 no raster")
    raster = (root / "cut_raster/flood.tif").read_bytes()
    (root / "cut_raster/flood.tif").write_bytes(raster[: len(raster) // 2])
    (root / "other_size/summary.json").write_text(json.dumps(summary | {"grid": summary["grid"] | {"width": 9999}}))
    (root / "no_picture/quicklook.png").write_bytes(b"\x89PNG\r\n\x1a\n no picture")
    (root / "no_polygons/flood.gpkg").write_bytes(b"no polygons")
    (root / "link/flood.gpkg").unlink()
    (root / "link/flood.gpkg").symlink_to(__file__)
    (root / "link/quicklook.png").unlink()
    (root / "link/quicklook.png").symlink_to("/etc/passwd")
    outside = tmp_path_factory.mktemp("outside")
    for name, file in (("linked_raster", "flood.tif"), ("linked_summary", "summary.json")):
        shutil.copy(root / name / file, outside / file)
        (root / name / file).unlink()
        (root / name / file).symlink_to(outside / file)
    (root / "vrt/flood.tif").unlink()
    rasterio.shutil.copy(outside / "flood.tif", root / "vrt/flood.tif", driver="VRT")
    with AppProcess(root) as process:
        yield process


def test_maps_with_a_damaged_summary_are_listed_as_problems(damaged: AppProcess) -> None:
    listing = damaged.request("api/scenes").json()
    broken = {"no_json", "other_json", "list", "huge_numbers", "deep", "not_utf8", "linked_summary"}
    assert {Path(text.partition("/summary.json:")[0]).name for text in listing["problems"]} == broken
    assert {scene["name"] for scene in listing["scenes"]}.isdisjoint(broken)


@pytest.mark.parametrize(
    ("name", "path", "sentence"),
    [
        ("no_json", "api/scenes/{scene}", "is not JSON"),
        ("other_json", "api/scenes/{scene}", "is not the summary of a map"),
        ("no_raster", "tiles/{scene}/flood/12/{tile}.png", "is cut off: its directory lies at"),
        ("no_raster", "api/scenes/{scene}/value?lon=15.01&lat=45.14", "is cut off: its directory lies at"),
        ("cut_raster", "tiles/{scene}/flood/14/{tile}.png", "copy or download it again"),
        ("other_size", "api/scenes/{scene}", "has another size than summary.json says"),
        ("no_picture", "api/scenes/{scene}/thumbnail.png", "cannot be read as a picture"),
        ("no_polygons", "api/scenes/{scene}/polygons", "cannot be read as polygons"),
        ("link", "api/scenes/{scene}/thumbnail.png", "is not in a folder of the app"),
        ("link", "files/{scene}/quicklook.png", "is not in a folder of the app"),
        ("link", "files/{scene}.zip", "is not in a folder of the app"),
        ("link", "api/scenes/{scene}/polygons", "is not in a folder of the app"),
        ("linked_raster", "tiles/{scene}/flood/14/{tile}.png", "is not in a folder of the app"),
        ("linked_raster", "api/scenes/{scene}/value?lon=15.01&lat=45.14", "is not in a folder of the app"),
        ("linked_summary", "api/scenes/{scene}", "is not in a folder of the app"),
        ("vrt", "tiles/{scene}/flood/14/{tile}.png", "is not in a folder of the app"),
    ],
)
def test_damaged_maps_are_refused(damaged: AppProcess, name: str, path: str, sentence: str) -> None:
    from floodseg.server.scenes import scene_id

    scene = scene_id(damaged.folder.resolve() / name)
    tile = "2218/1471" if "/12/" in path else "8874/5884"
    answer = damaged.request(path.format(scene=scene, tile=tile))
    assert 400 <= answer.status < 500, answer.body
    assert sentence in answer.json()["error"]
    assert damaged.process.poll() is None


@pytest.mark.parametrize(
    ("name", "sar", "status", "sentence"),
    [
        ("new", "vrt/flood.tif", 403, "is not in a folder of the app"),
        ("new", "link", 403, "is not in a folder of the app"),
        ("vrt", "link/flood.tif", 422, "holds finished products; choose another name"),
    ],
)
def test_jobs_of_files_elsewhere_or_with_the_name_of_a_map(
    damaged: AppProcess, name: str, sar: str, status: int, sentence: str
) -> None:
    answer = damaged.request("api/jobs", "POST", form({"sar": str(damaged.folder.resolve() / sar)}, name))
    assert (answer.status, sentence in answer.json()["error"]) == (status, True), answer.body
