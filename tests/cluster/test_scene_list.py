"""Tests of lists of scenes: tables and STAC documents, accepted and refused."""

import json
from pathlib import Path
from typing import Any

import geopandas
import pytest
import shapely

from floodseg.bands import L1C_BANDS, SAR_BANDS, Bands
from floodseg.cluster import extra
from floodseg.cluster.scene_list import read_scenes
from floodseg.config.predict import SharedScene
from floodseg.errors import ConfigError, DataError
from floodseg.system import extras

RADAR = Bands(SAR_BANDS, ())
BOTH = Bands(SAR_BANDS, L1C_BANDS)


def read(path: Path, text: str | None = None, bands: Bands = BOTH, **shared: Any) -> Any:
    if text is not None:
        path.write_text(text, encoding="utf-8")
    return read_scenes(path, SharedScene(**shared), bands)


def test_settings_of_a_row_take_precedence_over_flags(tmp_path):
    table = "id,sar,optical,datetime,max_slope,dem,allow_no_crs,sar_units\n"
    table += "a,VV.tif;VH.tif,,2024-01-05,,,,\n"
    table += "b,/data/b.tif,sub/b2.tif,,10,dem.tif,yes,amplitude\n"
    first, second = read(tmp_path / "list.csv", table, dem="common.tif", max_slope=20.0, sar_units="linear")
    assert (first.id, second.id) == ("a", "b")
    assert first.config.sar == (f"{tmp_path}/VV.tif", f"{tmp_path}/VH.tif")
    assert first.config.optical == ()
    assert first.config.dem == str(Path.cwd() / "common.tif"), "flags are relative to the working directory"
    assert (first.config.max_slope, first.config.datetime, first.config.allow_no_crs) == (20.0, "2024-01-05", False)
    assert second.config.sar == ("/data/b.tif",)
    assert second.config.optical == (f"{tmp_path}/sub/b2.tif",)
    assert second.config.dem == f"{tmp_path}/dem.tif"
    assert (second.config.max_slope, second.config.allow_no_crs) == (10.0, True)
    assert (first.config.sar_units, second.config.sar_units) == ("linear", "amplitude")


def test_settings_of_a_layer_may_be_flags_while_the_layers_are_columns(tmp_path):
    table = "id,sar,permanent_water,dem,depth\na,a.tif,w.tif,d.tif,yes\nb,b.tif,,,\n"
    flags = {"permanent_water_threshold": 50.0, "max_slope": 20.0, "dem_kind": "surface"}
    first, second = read(tmp_path / "list.csv", table, **flags)
    for name, value in flags.items():
        assert getattr(first.config, name) == value
        assert getattr(second.config, name) == getattr(SharedScene, name), "b has no layer"
    table = "id,sar,permanent_water,permanent_water_threshold\na,a.tif,w.tif,1\nb,b.tif,,1\n"
    with pytest.raises(ConfigError, match=r"scene 2: `permanent_water_threshold=1\.0`: has no effect without"):
        read(tmp_path / "list.csv", table)


@pytest.mark.parametrize("flag", [{"permanent_water_threshold": 50.0}, {"max_slope": 20.0}, {"water_level": True}])
def test_flag_of_a_layer_that_no_scene_has_is_refused(tmp_path, flag):
    with pytest.raises(ConfigError, match=r"has no effect, since no scene of .* leave it out, or set"):
        read(tmp_path / "list.csv", "id,sar\na,a.tif\n", **flag)


def test_flag_depth_needs_an_elevation_model_for_each_scene(tmp_path):
    with pytest.raises(ConfigError, match="scene 2: `depth`: needs an elevation model; set `dem`"):
        read(tmp_path / "list.csv", "id,sar,dem\na,a.tif,d.tif\nb,b.tif,\n", depth=True)


@pytest.mark.parametrize(
    "text",
    [
        'id;sar;datetime\na;"VV.tif;VH.tif";2024-01-05\n',
        '\ufeffid;sar;datetime\r\na;"VV.tif;VH.tif";2024-01-05\r\n',
        'ID, SAR, Datetime\na, "VV.tif;VH.tif", 2024-01-05\n',
        "id,sar,datetime\r\na,VV.tif;VH.tif,2024-01-05\r\n",
        '"id";"SAR"; Datetime \na; "VV.tif;VH.tif"; 2024-01-05\n',
    ],
)
def test_lists_of_spreadsheets_are_read(tmp_path, text):
    [scene] = read(tmp_path / "list.csv", text)
    assert (scene.id, scene.config.datetime) == ("a", "2024-01-05")
    assert scene.config.sar == (f"{tmp_path}/VV.tif", f"{tmp_path}/VH.tif")


def test_files_of_a_cell_are_quoted_in_a_list_with_semicolons(tmp_path):
    text = "id;sar\na;VV.tif;VH.tif\n"
    with pytest.raises(
        DataError, match=r"line 2: has 3 cells, but .* 2 columns; .* quotation marks where it holds a sem"
    ):
        read(tmp_path / "list.csv", text)
    [scene] = read(tmp_path / "list.csv", text.replace("VV.tif;VH.tif", '"VV.tif;VH.tif"'))
    assert scene.config.sar == (f"{tmp_path}/VV.tif", f"{tmp_path}/VH.tif")
    with pytest.raises(
        DataError, match=r"line 2: has 2 cells, but .* 1 columns; .* quotation marks where it holds a com"
    ):
        read(tmp_path / "list.csv", "sar\na,b.tif\n")
    with pytest.raises(DataError, match=r"line 2: has 1 cells, but .* 2 columns; write a cell for each column"):
        read(tmp_path / "list.csv", "id,sar\na.tif\n")
    with pytest.raises(DataError, match="has two columns 'sar'; rename one"):
        read(tmp_path / "list.csv", "sar;SAR\na.tif;b.tif\n")


def test_default_id_is_the_stem_of_the_first_file(tmp_path):
    scenes = read(tmp_path / "list.csv", "sar,optical\nx/S1_a.tif,\n,/vsizip/p.zip/S2_b.SAFE\n")
    assert [scene.id for scene in scenes] == ["S1_a", "S2_b"]


def test_default_id_has_no_letters_that_an_id_must_not_have(tmp_path):
    scenes = read(tmp_path / "list.csv", f"sar\nSzene ä 1.tif\n-a (copy).tif\n{'x' * 230}.tif\n")
    assert [scene.id for scene in scenes] == ["Szene_ä_1", "a_copy_", "x" * 200]
    with pytest.raises(ConfigError, match=r"scene 1: id '' must .*; set such an id in the list"):
        read(tmp_path / "list.csv", "sar\n---.tif\n")


def test_read_geoparquet(tmp_path):
    table = geopandas.GeoDataFrame(
        {"id": ["a", "b"], "sar": [["VV.tif", "VH.tif"], ["b.tif"]], "max_slope": [None, 5.0], "dem": [None, "d.tif"]},
        geometry=[shapely.box(0, 0, 1, 1)] * 2, crs=4326,
    )  # fmt: skip
    table.to_parquet(tmp_path / "list.parquet")
    first, second = read(tmp_path / "list.parquet")
    assert first.config.sar == (f"{tmp_path}/VV.tif", f"{tmp_path}/VH.tif")
    assert (second.config.dem, second.config.max_slope) == (f"{tmp_path}/d.tif", 5.0)
    (tmp_path / "bad.parquet").write_bytes(b"PAR1")
    with pytest.raises(DataError, match=r"bad\.parquet: is not a complete Parquet file"):
        read(tmp_path / "bad.parquet")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "sar,opticl\na.tif,b.tif\n",
            r"scene 1: unknown column 'opticl' \(did you mean optical\?\); use one of id,",
        ),
        (
            "sar,allow_remote\na.tif,true\n",
            "a list must not set 'allow_remote'; add `allow_remote` to the command",
        ),
        ("sar\nx/a.tif\ny/a.tif\n", "2 scenes have the id 'a'; give each scene an id of its own"),
        ("id,sar\n../a,a.tif\n", r"scene 1: id '\.\./a' must begin with a letter or digit"),
        ("id,sar\n.a,a.tif\n", r"id '\.a' must begin with a letter"),
        ("id,sar\na,\n", "scene 1: has no image; fill in sar, optical or both"),
        ("sar,max_slope\na.tif,steep\n", "scene 1: max_slope 'steep' is not a number; write a number such as 12.5"),
        ("sar,grid\na.tif,north\n", "scene 1: `grid=north`: must be one of sar, optical"),
        ("sar,allow_no_crs\na.tif,perhaps\n", "allow_no_crs 'perhaps' must be true or false"),
        ("sar\nhttps://example.org/a.tif\n", "a.tif is on the network; set `allow_remote`, or download it"),
        ("sar\na\0.tif\n", "holds control characters; rename the file"),
        ("sar\n/vsicurl/https://example.org/a.tif\n", "a.tif is on the network"),
    ],
)
def test_wrong_tables_are_refused(tmp_path, text, message):
    with pytest.raises(ConfigError, match=message):
        read(tmp_path / "list.csv", text)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("list.csv", "sar\n", "holds no scene"),
        ("list.csv", "", "holds no scene"),
        ("list.csv", "sar,optical\na.tif\n", "line 2: has 1 cells, but the first line names 2 columns"),
        ("list.csv", "sar,sar\na,b\n", "has two columns 'sar'"),
        ("list.txt", "a.tif", "a list of scenes must be .csv, .parquet"),
        ("list.json", "[]", "is a JSON list, not an object; use a STAC document"),
        ("list.json", "{", "is not JSON"),
        ("list.json", '{"type": "Topology"}', "has the type 'Topology'; use a STAC Collection"),
        ("list.json", '{"type": "Collection", "links": 3}', "'links' is no list of objects"),
        ("list.json", '{"type": "FeatureCollection", "features": [{"id": 3}]}', "lacks an id, assets or properties"),
    ],
)
def test_unreadable_lists_are_refused(tmp_path, name, text, message):
    with pytest.raises(DataError, match=message):
        read(tmp_path / name, text)
    with pytest.raises(DataError, match="no such list of scenes"):
        read(tmp_path / "missing.csv")


def test_allow_remote_allows_urls_in_a_list(tmp_path):
    [scene] = read(tmp_path / "list.csv", "sar\nhttps://example.org/a.tif?sig=secret\n", allow_remote=True)
    assert scene.config.sar == ("https://example.org/a.tif?sig=secret",)
    assert scene.id == "a"


def asset(href: str, *roles: str) -> dict[str, Any]:
    return {"href": href, "roles": list(roles)}


def item(name: str, assets: dict[str, Any], **properties: Any) -> dict[str, Any]:
    return {"type": "Feature", "id": name, "assets": assets, "properties": properties}


ASSETS = {
    "vh": asset("./vh.tif"), "vv": asset("vv.tif"), "B03": asset("b03.tif"), "green-jp2": asset("b03.jp2"),
    "blue": asset("b02.tif"), "visual": asset("tci.tif"), "mask": asset("clouds.tif", "cloud-mask"),
    "thumbnail": asset("vv.png", "thumbnail"), "dem": asset("heights%20m.tif"),
}  # fmt: skip


def test_read_stac_collection(tmp_path, caplog):
    caplog.set_level("INFO", logger="floodseg")
    (tmp_path / "items/a").mkdir(parents=True)
    (tmp_path / "items/a/a.json").write_text(json.dumps(item("a", ASSETS, datetime="2024-01-05T05:00:00Z")))
    links = [{"rel": "child", "href": "./items/catalog.json"}, {"rel": "license", "href": "https://example.org"}]
    (tmp_path / "collection.json").write_text(json.dumps({"type": "Collection", "links": links}))
    links = [{"rel": "item", "href": "a/a.json"}, {"rel": "child", "href": "../collection.json"}]
    (tmp_path / "items/catalog.json").write_text(json.dumps({"type": "Catalog", "links": links}))
    [scene] = read(tmp_path / "collection.json")
    here = f"{tmp_path}/items/a"
    assert scene.id == "a"
    assert scene.config.sar == (f"{here}/vv.tif", f"{here}/vh.tif")
    assert scene.config.optical == (f"{here}/b02.tif", f"{here}/b03.tif")
    assert (scene.config.cloud_mask, scene.config.dem) == (f"{here}/clouds.tif", f"{here}/heights m.tif")
    assert scene.config.datetime == "2024-01-05T05:00:00Z"
    assert "ignored assets: green-jp2, thumbnail, visual" in caplog.text
    [radar] = read(tmp_path / "collection.json", bands=RADAR)
    assert (radar.config.optical, radar.config.cloud_mask) == ((), "auto"), "the model uses no optical image"


def test_read_stac_item_collection(tmp_path):
    features = [item("a", {"sar": asset("a.tif")}, datetime=None, start_datetime="2024-01-01T00:00:00Z"),
                item("b", {"image": asset("b.tif", "data", "sar")})]  # fmt: skip
    first, second = read(tmp_path / "items.json", json.dumps({"type": "FeatureCollection", "features": features}))
    assert (first.config.datetime, second.config.datetime) == ("2024-01-01T00:00:00Z", None)
    assert second.config.sar == (f"{tmp_path}/b.tif",)


@pytest.mark.parametrize(
    ("href", "message"),
    [
        ("../a.tif", "is outside of .*, the folder of the list; move the file into it"),
        ("/etc/passwd", "is outside of"),
        ("x/../../a.tif", "is outside of"),
        ("%2e%2e/a.tif", "is outside of"),
        ("file:///etc/passwd", "is outside of"),
        ("/vsizip//etc/a.zip/a.tif", "is no local file; download it"),
        ("https://example.org/a.tif", "is on the network; set `allow_remote`, or download it"),
    ],
)
def test_stac_files_outside_of_the_folder_are_refused(tmp_path, href, message):
    with pytest.raises(ConfigError, match=message):
        read(tmp_path / "item.json", json.dumps(item("a", {"sar": asset(href)})))


def test_remote_stac_items_are_refused(tmp_path):
    links = [{"rel": "item", "href": "https://example.org/a.json"}]
    with pytest.raises(ConfigError, match="is no local file; download it, and name it relative to the document"):
        read(tmp_path / "c.json", json.dumps({"type": "Collection", "links": links}), allow_remote=True)


def test_stac_keys_with_sensor_and_resolution(tmp_path, caplog):
    caplog.set_level("INFO", logger="floodseg")
    assets = {
        "B03_20m": asset("b03_20.tif"), "B03_10m": asset("b03_10.tif"), "B8A_20m": asset("b8a.tif"),
        "TCI_10m": asset("tci.tif"), "IW-VH": asset("vh.tif"), "s1-grd-vv": asset("vv.tif"),
        "schema-product-vv": asset("vv.xml"),
    }  # fmt: skip
    [scene] = read(tmp_path / "item.json", json.dumps(item("a", assets)))
    assert scene.config.sar == (f"{tmp_path}/vv.tif", f"{tmp_path}/vh.tif")
    assert scene.config.optical == (f"{tmp_path}/b03_10.tif", f"{tmp_path}/b8a.tif")
    assert "ignored assets: B03_20m, TCI_10m, schema-product-vv" in caplog.text


def test_scene_classes_are_read_with_the_optical_bands(tmp_path):
    assets = {"SCL_60m": asset("scl_60.tif"), "SCL_20m": asset("scl.tif"), "B03_10m": asset("b03.tif"),
              "vv": asset("vv.tif")}  # fmt: skip
    [scene] = read(tmp_path / "item.json", json.dumps(item("a", assets)))
    assert (scene.config.optical, scene.config.cloud_mask) == ((f"{tmp_path}/b03.tif", f"{tmp_path}/scl.tif"), "auto")
    [scene] = read(tmp_path / "item.json", json.dumps(item("a", {"scl": asset("s.tif"), "green": asset("g.tif")})))
    assert scene.config.optical == (f"{tmp_path}/g.tif", f"{tmp_path}/s.tif")
    [radar] = read(tmp_path / "item.json", json.dumps(item("a", assets)), bands=RADAR)
    assert radar.config.optical == ()


def test_storage_in_stac_items_is_reported(tmp_path, caplog):
    plain = asset("b03.tif") | {"raster:bands": [{"nodata": 0, "scale": 1, "data_type": "uint16"}]}
    scaled = asset("b08.tif") | {"raster:bands": [{"nodata": 0, "scale": 0.0001, "offset": -0.1}]}
    read(tmp_path / "item.json", json.dumps(item("a", {"green": plain})))
    assert "raster:bands" not in caplog.text
    read(tmp_path / "item.json", json.dumps(item("a", {"green": plain, "nir": scaled})))
    assert "in raster:bands are ignored (assets nir); the tags of the files, `optical_offset`" in caplog.text


def test_stac_item_without_an_image_is_refused_by_its_assets(tmp_path):
    document = json.dumps(item("a", {"hh": asset("hh.tif"), "hv": asset("hv.tif")}))
    with pytest.raises(ConfigError, match=r"item 'a': none of its assets \(hh, hv\) is an image.*; name them after"):
        read(tmp_path / "item.json", document)


def test_missing_extra_error_has_the_pip_command(monkeypatch):
    monkeypatch.setattr(extras, "is_installed", lambda package: False)
    with pytest.raises(ConfigError, match=r"^predict-many needs distributed, .*; pip install 'floodseg\[cluster\]'$"):
        extra.import_extra("distributed.scheduler")
