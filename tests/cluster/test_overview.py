"""Tests of collection, index and mosaics of finished scenes."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pystac
import pytest
import rasterio
from pyarrow import parquet

from floodseg.cluster.finished import finished_scenes
from floodseg.cluster.overview import write_overview
from floodseg.config.predict import MapConfig, PredictConfig, SceneConfig
from floodseg.errors import DataError
from floodseg.geo.grid import GeoGrid
from floodseg.inference.pipeline import predict_files
from floodseg.products.info import CollectionMember
from map_fakes import PointwiseRuntime
from scenes import write_sar

H, W = 40, 60


def scene(out_dir: Path, name: str, value: float, day: int | None, *, crs: str = "EPSG:32633", nothing: Any = None,
          **place: Any) -> None:  # fmt: skip
    """Map a scene whose pixels all have the same value."""
    db = np.full((2, H, W), value, np.float32)
    if nothing is not None:
        db[:, *nothing] = np.nan
    file = out_dir.parent / f"{name}.tif"
    write_sar(file, db, crs=crs, **place)
    settings = SceneConfig(sar=file, datetime=day and f"2024-01-{day:02}", allow_no_crs=crs is None)
    config = PredictConfig(out_dir / "scenes" / name, settings, MapConfig(threads=1))
    member = CollectionMember(name, "floodseg", "../../collection.json", {"key": f"key of {name}"})
    predict_files(config, PointwiseRuntime(), "fake", member=member)


@pytest.fixture
def out_dir(tmp_path: Path) -> Path:
    return tmp_path / "out"


def test_mosaic_has_the_latest_scene_on_top_except_its_nodata(out_dir):
    scene(out_dir, "b-late", -22, 9, origin=(500_300.0, 5_000_000.0), nothing=np.s_[:, :10])
    scene(out_dir, "c-early", -10, 1)
    assert write_overview(out_dir) == []
    with rasterio.open(out_dir / "flood.vrt") as mosaic:
        assert (mosaic.width, mosaic.height, mosaic.crs.to_epsg(), mosaic.nodata) == (90, 40, 32633, 255)
        assert tuple(mosaic.transform)[:6] == (10, 0, 500_000, 0, -10, 5_000_000)
        expected = np.zeros((H, 90), np.uint8)
        expected[:, 40:] = 1
        np.testing.assert_array_equal(mosaic.read(1), expected)
        assert mosaic.colormap(1)[1] == (31, 120, 180, 255)
    assert 'label="permanent water"' in (out_dir / "flood.qml").read_text()
    assert 'maximumValue="100"' in (out_dir / "water_probability.qml").read_text()
    with rasterio.open(out_dir / "water_probability.vrt") as mosaic, \
            rasterio.open(out_dir / "scenes/b-late/water_probability.tif") as late:  # fmt: skip
        np.testing.assert_array_equal(mosaic.read(1)[:, 40:], late.read(1)[:, 10:])


def test_mosaic_of_several_crs_is_in_degrees(out_dir):
    scene(out_dir, "a", -22, 1)
    scene(out_dir, "b", -10, 2, crs="EPSG:32634", origin=(36_000.0, 5_000_000.0))
    assert write_overview(out_dir) == []
    with rasterio.open(out_dir / "flood.vrt") as mosaic:
        assert mosaic.crs.to_epsg() == 4326
        values = mosaic.read(1)
        rows, columns = np.nonzero(values == 1)
        longitude, latitude = mosaic.xy(int(np.median(rows)), int(np.median(columns)))
    # the middle of scene a: 300 m east of the central meridian 15, 200 m south of its north edge
    assert longitude == pytest.approx(15 + 300 / 78_850, abs=2e-4)
    assert latitude == pytest.approx(45.1535 - 200 / 111_100, abs=2e-4)
    # a pixel is as wide as high in degrees, so narrower on the ground
    assert (values == 1).sum() == pytest.approx(H * W * 111_319 / 78_850, rel=0.06)
    assert (values == 0).any()
    for path in (out_dir / "warped").iterdir():
        assert str(out_dir) not in path.read_text(), "the folder can be moved"
    scenes = finished_scenes(out_dir)
    assert [each.id for each in scenes] == ["a", "b"]
    moved = out_dir.rename(out_dir.with_name("moved"))
    with rasterio.open(moved / "flood.vrt") as mosaic:
        np.testing.assert_array_equal(mosaic.read(1), values)


def flipped_scene(out_dir: Path, name: str, day: int, *, rows: bool, columns: bool, **place: Any) -> None:
    """Map a scene that is stored in another order, with water in its north west and a gap in its north east."""
    db = np.full((2, H, W), -10, np.float32)
    db[:, :15, :20], db[:, :15, 50:] = -22, np.nan
    file = out_dir.parent / f"{name}.tif"
    write_sar(file, db, **place)
    with rasterio.open(file) as source:
        profile, values = source.profile, source.read()
    stored = GeoGrid(None, tuple(profile["transform"])[:6], H, W).reversed(rows=rows, columns=columns)
    with rasterio.open(file, "w", **{**profile, "transform": stored.affine}) as target:
        target.write(stored.flip(values))
    settings = SceneConfig(sar=file, datetime=f"2024-01-{day:02}")
    config = PredictConfig(out_dir / "scenes" / name, settings, MapConfig(threads=1))
    predict_files(
        config, PointwiseRuntime(), "fake", member=CollectionMember(name, "floodseg", "c.json", {"key": name})
    )


@pytest.mark.parametrize(
    ("crs", "rows", "columns"),
    [("EPSG:32633", True, False), ("EPSG:32633", False, True), ("EPSG:32634", True, True)],
)
def test_mosaics_of_flipped_scenes_equal_those_of_north_up_scenes(tmp_path, crs, rows, columns):
    """The scenes beside them are north up, in the same coordinate system or in another one."""
    found = {}
    for name, flips in {"flipped": (rows, columns), "upright": (False, False)}.items():
        out = tmp_path / name / "out"
        origin = (500_600.0, 5_000_000.0) if crs == "EPSG:32633" else (36_000.0, 5_000_000.0)
        scene(out, "a", -22, 1, crs=crs, origin=origin)
        flipped_scene(out, "b", 2, rows=flips[0], columns=flips[1])
        assert write_overview(out) == []
        for mosaic in ("flood.vrt", "water_probability.vrt"):
            with rasterio.open(out / mosaic) as source:
                found[name, mosaic] = source.read(1), source.transform, source.crs
    for mosaic in ("flood.vrt", "water_probability.vrt"):
        values, transform, system = found["flipped", mosaic]
        np.testing.assert_array_equal(values, found["upright", mosaic][0])
        assert (transform, system) == found["upright", mosaic][1:]
    classes = found["flipped", "flood.vrt"][0]
    assert {0, 1, 255} == set(np.unique(classes))
    if crs == "EPSG:32633":
        assert (tmp_path / "flipped/out/warped").exists()
        assert not (tmp_path / "upright/out/warped").exists()
        assert (classes[:15, :20] == 1).all()
        assert (classes[:15, 50:60] == 255).all()
        assert (classes[:, 60:] == 1).all()


def test_warped_files_that_are_not_used_are_removed(out_dir):
    scene(out_dir, "a", -22, 1)
    scene(out_dir, "b", -10, 2, crs="EPSG:32634", origin=(36_000.0, 5_000_000.0))
    write_overview(out_dir)
    assert len(list((out_dir / "warped").iterdir())) == 4
    shutil.rmtree(out_dir / "scenes/b")
    write_overview(out_dir)
    assert not (out_dir / "warped").exists()


@pytest.mark.parametrize(
    ("places", "width"),
    [
        ({"EPSG:4326": (179.99, -17.0), "EPSG:4326 ": (-179.995, -17.0)}, 210),
        ({"EPSG:4326": (179.998, -17.0), "EPSG:4326 ": (-180.008, -17.0)}, 120),
        ({"EPSG:32760": (819_200.0, 8_119_000.0), "EPSG:32701": (181_500.0, 8_119_000.0)}, None),
    ],
)
def test_mosaic_across_the_180th_meridian_spans_the_scenes(out_dir, places, width):
    for day, (crs, origin) in enumerate(places.items(), start=1):
        scene(out_dir, f"s{day}", -22 if day == 1 else -10, day, crs=crs.strip(), origin=origin,
              pixel=1e-4 if width else 10.0)  # fmt: skip
    assert write_overview(out_dir) == []
    with rasterio.open(out_dir / "flood.vrt") as mosaic:
        classes, (west, _, east, _) = mosaic.read(1), mosaic.bounds
    assert width in (None, mosaic.width)
    assert 179.98 < west < 180 < east < 180.03
    assert (classes == 1).mean() > 0.15
    assert (classes == 0).mean() > 0.15
    document = json.loads((out_dir / "collection.json").read_text())
    [[first, _, last, _]] = document["extent"]["spatial"]["bbox"]
    assert (first, last) == pytest.approx((west, east - 360), abs=2e-4)
    metadata = json.loads(parquet.read_schema(out_dir / "index.parquet").metadata[b"geo"])
    assert metadata["columns"]["geometry"]["bbox"][::2] == [first, last]


def test_unreadable_mosaic_is_an_error_with_a_remedy_that_works(out_dir):
    scene(out_dir, "a", -22, 1)
    scene(out_dir, "b", -10, 2, origin=(500_600.0, 5_000_000.0))
    raster = out_dir / "scenes/b/flood.tif"
    raster.write_bytes(raster.read_bytes()[:300])
    with pytest.raises(
        DataError, match=r"flood\.vrt: cannot be read at the place of the scene 'b'.*scenes/b"
    ) as refusal:
        write_overview(out_dir)
    assert not (out_dir / "flood.vrt").exists()
    [folder] = re.findall(r"remove the folder (\S+),", str(refusal.value))
    shutil.rmtree(out_dir / folder)
    scene(out_dir, "b", -10, 2, origin=(500_600.0, 5_000_000.0))
    assert write_overview(out_dir) == []
    with rasterio.open(out_dir / "flood.vrt") as mosaic:
        assert mosaic.read(1).mean() == 0.5


def test_collection_and_items_link_each_other(out_dir):
    scene(out_dir, "a", -22, 3)
    scene(out_dir, "b", -10, 9, origin=(500_600.0, 5_000_000.0))
    write_overview(out_dir)
    collection = pystac.Collection.from_file(str(out_dir / "collection.json"))
    items = list(collection.get_items())
    assert [item.id for item in items] == ["a", "b"]
    assert items[0].get_collection().id == "floodseg"
    assert items[0].collection_id == "floodseg"
    [[west, south, east, north]] = collection.extent.spatial.bboxes
    assert [west, south] == [min(item.bbox[0] for item in items), min(item.bbox[1] for item in items)]
    assert [east, north] == [max(item.bbox[2] for item in items), max(item.bbox[3] for item in items)]
    [[first, last]] = collection.extent.temporal.intervals
    assert (first.day, last.day) == (3, 9)
    for asset in collection.assets.values():
        assert (out_dir / asset.href).exists()
    collection.validate()


def test_index_has_outline_date_and_areas(out_dir):
    scene(out_dir, "a", -22, 3)
    scene(out_dir, "b", -10, 9)
    write_overview(out_dir)
    table = geopandas.read_parquet(out_dir / "index.parquet")
    assert list(table.id) == ["a", "b"]
    assert table.crs.to_epsg() == 4326
    summary = json.loads((out_dir / "scenes/a/summary.json").read_text())
    assert table.flood_km2[0] == summary["area_km2"]["flood"] > 0.23
    assert table.permanent_water_km2.isna().all()
    assert list(table.content_key) == ["key of a", "key of b"]
    assert (out_dir / table.flood[1]).exists()
    assert table.datetime[0].isoformat() == "2024-01-03T00:00:00+00:00"


def test_scene_without_crs_is_reported_and_not_in_the_mosaics(out_dir, caplog):
    scene(out_dir, "a", -22, 3, crs=None)  # type: ignore[arg-type]
    (out_dir / "flood.qml").touch()
    assert write_overview(out_dir) == ["scene a has no coordinate system, so it is not in the mosaics"]
    assert not (out_dir / "flood.vrt").exists()
    assert not (out_dir / "flood.qml").exists()
    assert geopandas.read_parquet(out_dir / "index.parquet").geometry.isna().all()
    scene(out_dir, "b", -22, 4)
    write_overview(out_dir)
    assert (out_dir / "flood.vrt").exists()


def test_undated_scene_is_not_in_the_collection(out_dir):
    scene(out_dir, "a", -22, None)
    [sentence] = write_overview(out_dir)
    assert sentence.startswith("scene a has no date, so it has no item.json and is not in the collection")
    assert (out_dir / "flood.vrt").exists()
    assert not (out_dir / "collection.json").exists()
    scene(out_dir, "b", -22, 4)
    assert write_overview(out_dir) == [sentence]
    links = json.loads((out_dir / "collection.json").read_text())["links"]
    assert [link["href"] for link in links if link["rel"] == "item"] == ["./scenes/b/item.json"]
    table = geopandas.read_parquet(out_dir / "index.parquet").set_index("id")
    assert table["item"].isna().to_dict() == {"a": True, "b": False}
    assert table.datetime.isna().to_dict() == {"a": True, "b": False}
    assert table.geometry["a"].equals(table.geometry["b"])


def test_no_overview_without_scenes(out_dir):
    out_dir.mkdir()
    assert write_overview(out_dir) == []
    assert list(out_dir.iterdir()) == []
