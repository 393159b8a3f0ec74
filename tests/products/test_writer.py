"""Products of a scene, read with other software than the writer's."""

import datetime as dt
import json
import resource
import signal
import sqlite3
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pytest
import rasterio
import shapely
from numpy.typing import NDArray
from pyproj import Transformer
from rio_cogeo import cog_validate

from floodseg.errors import ConfigError, RunFolderError
from floodseg.geo.footprints import equal_area_crs
from floodseg.geo.grid import GeoGrid
from floodseg.products.folder import ITEM, PRODUCTS
from floodseg.products.info import ProductInfo
from floodseg.products.strips import ProductStrip
from floodseg.products.writer import ProductWriter, WriterSettings
from floodseg.scene.acquisition import Acquisition

UTM = GeoGrid("EPSG:32633", (10, 0, 500_000, 0, -10, 5_000_000), 70, 90)
Codes = NDArray[np.uint8]


def info(**changes: Any) -> ProductInfo:
    values: dict[str, Any] = {
        "model": "s1-lite",
        "threshold": {"sar": 0.4, "optical": 0.5, "both": 0.45},
        "knows_permanent_water": True,
        "acquisition": Acquisition(dt.datetime(2024, 11, 1, 6, 30, tzinfo=dt.UTC), "--datetime"),
        "inputs": {"sar": ("scenes/S1A_vv.tif", "scenes/S1A_vh.tif")},
        "licence": "contains modified Copernicus Sentinel data 2024",
    }
    return ProductInfo(**(values | changes))


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def scene(shape: tuple[int, int], seed: int = 0) -> tuple[Codes, Codes]:
    """Return percent and codes (H, W): patches of flood, permanent water and excluded pixels, nodata on the left."""
    random = np.random.default_rng(seed)
    coarse = random.random((shape[0] // 4 + 1, shape[1] // 4 + 1))
    wet = np.kron(coarse, np.ones((4, 4)))[: shape[0], : shape[1]] + random.normal(0, 0.08, shape)
    classes = np.select([wet > 0.8, wet > 0.55, wet < 0.05], [2, 1, 3], 0).astype(np.uint8)
    percent = np.clip(wet * 90, 0, 100).astype(np.uint8)
    classes[:, : shape[1] // 10] = percent[:, : shape[1] // 10] = 255
    return percent, classes


def write(
    out: Path, grid: GeoGrid, percent: Codes, classes: Codes, about: ProductInfo | None = None, *,
    step: int = 16, background: NDArray[np.floating] | None = None, min_area: float = 0, overwrite: bool = False,
) -> dict[str, Any]:  # fmt: skip
    with ProductWriter(out, grid, about or info(), WriterSettings(overwrite, min_area)) as writer:
        for top in range(0, grid.height, step):
            writer.write(ProductStrip(top, percent[top : top + step], classes[top : top + step]))
        return writer.finish(background)


def test_rasters_have_values_and_metadata(tmp_path: Path) -> None:
    percent, classes = scene((70, 90))
    write(tmp_path / "out", UTM, percent, classes, step=13)
    with rasterio.open(tmp_path / "out/water_probability.tif") as file:
        np.testing.assert_array_equal(file.read(1), percent)
        assert (file.crs.to_epsg(), tuple(file.transform)[:6]) == (32633, UTM.transform)
        assert (file.nodata, file.units, file.descriptions) == (255, ("%",), ("water probability",))
        statistics = {key: float(value) for key, value in file.tags(1).items()}
        valid = percent[percent != 255].astype(float)
        assert statistics["STATISTICS_MEAN"] == pytest.approx(valid.mean())
        assert statistics["STATISTICS_STDDEV"] == pytest.approx(valid.std())
        assert (statistics["STATISTICS_MINIMUM"], statistics["STATISTICS_MAXIMUM"]) == (valid.min(), valid.max())
        assert statistics["STATISTICS_VALID_PERCENT"] == pytest.approx(90)
    with rasterio.open(tmp_path / "out/flood.tif") as file:
        np.testing.assert_array_equal(file.read(1), classes)
        colours = file.colormap(1)
        assert colours[1] == (31, 120, 180, 255)
        assert len({colours[code] for code in (0, 1, 2, 3, 255)}) == 5
        assert file.nodata == 255
        tags = file.tags()
    assert tags["TIFFTAG_DATETIME"] == "2024:11:01 06:30:00"
    assert tags["FLOODSEG_MODEL"] == "s1-lite"
    assert json.loads(tags["FLOODSEG_THRESHOLD"]) == {"sar": 0.4, "optical": 0.5, "both": 0.45}
    assert json.loads(tags["FLOODSEG_INPUTS"]) == {"sar": ["S1A_vv.tif", "S1A_vh.tif"]}
    assert tags["TIFFTAG_COPYRIGHT"].startswith("contains modified Copernicus")
    names = (tmp_path / "out/flood.tif.aux.xml").read_text()
    assert [line.strip() for line in names.splitlines() if "<Category>" in line] == [
        f"<Category>{name}</Category>" for name in ("land", "flood", "permanent water", "excluded")
    ]


@pytest.mark.parametrize("shape", [(1, 1), (3, 1), (600, 530), (1300, 700)])
def test_rasters_are_valid_cogs_with_overviews(tmp_path: Path, shape: tuple[int, int]) -> None:
    grid = GeoGrid(UTM.crs, UTM.transform, *shape)
    percent = np.full(shape, 40, dtype=np.uint8)
    percent[::2] = 60
    classes = np.zeros(shape, dtype=np.uint8)
    classes[:, 1::2] = 2
    classes[::2, :] = np.where(np.arange(shape[1]) % 2, 2, 3)  # of four pixels two are 2, one 0, one 3
    write(tmp_path / "out", grid, percent, classes, step=512)
    for name, value in (("water_probability.tif", 50), ("flood.tif", 2)):
        valid, errors, warnings = cog_validate(tmp_path / "out" / name, strict=True)
        assert (valid, errors, warnings) == (True, [], [])
        if min(shape) > 512:
            with rasterio.open(tmp_path / "out" / name, OVERVIEW_LEVEL=0) as overview:
                half = overview.read(1)
            assert half.shape == (-(-shape[0] // 2), -(-shape[1] // 2))
            assert (half[:200, :200] == value).all()


def test_code_1_is_open_water_without_permanent_water(tmp_path: Path) -> None:
    percent, classes = scene((20, 20))
    classes[classes == 2] = 1
    document = write(tmp_path / "out", GeoGrid(UTM.crs, UTM.transform, 20, 20), percent, classes,
                     info(knows_permanent_water=False))  # fmt: skip
    assert "<Category>open water</Category>" in (tmp_path / "out/flood.tif.aux.xml").read_text()
    assert document["area_km2"]["permanent_water"] is None
    assert geopandas.list_layers(tmp_path / "out/flood.gpkg")["name"].tolist() == ["flood", "layer_styles"]
    assert 'value="1" label="open water"' in (tmp_path / "out/flood.qml").read_text()


GRIDS = {
    "utm": UTM,
    "degrees": GeoGrid("EPSG:4326", (1e-4, 0, 12.0, 0, -1e-4, 60.0), 70, 90),
    "coarse degrees": GeoGrid("EPSG:4326", (0.05, 0, 12.0, 0, -0.05, 60.0), 70, 90),
    "antimeridian": GeoGrid("EPSG:4326", (0.02, 0, 179.0, 0, -0.02, 65.0), 70, 90),
    "web mercator": GeoGrid("EPSG:3857", (20, 0, 1e6, 0, -20, 8.4e6), 70, 90),
    "polar": GeoGrid("EPSG:3413", (40, 0, -3000, 0, -40, -2e6), 70, 90),
    "rotated": GeoGrid("EPSG:32633", (8, 6, 5e5, 6, -8, 5e6), 70, 90),
}


@pytest.mark.parametrize("grid", GRIDS.values(), ids=GRIDS.keys())
def test_areas_equal_those_of_the_projected_polygons(tmp_path: Path, grid: GeoGrid) -> None:
    percent, classes = scene((70, 90), seed=2)
    document = write(tmp_path / "out", grid, percent, classes)
    for code, layer in ((1, "flood"), (2, "permanent_water")):
        table = geopandas.read_file(tmp_path / "out/flood.gpkg", layer=layer)
        assert table.crs == grid.crs
        assert table.geometry.is_valid.all()
        assert set(table.geom_type) == {"Polygon"}
        assert list(table.columns) == ["class", "area_m2", "probability", "geometry"]
        dense = table.geometry.segmentize(max(map(abs, grid.transform[:2])) / 8)
        project = Transformer.from_crs(grid.crs, equal_area_crs(grid), always_xy=True)
        drawn = shapely.area(shapely.transform(dense.values, project.transform, interleaved=False))
        np.testing.assert_allclose(table["area_m2"], drawn, rtol=1e-4)
        assert document["area_km2"][layer] == pytest.approx(table["area_m2"].sum() / 1e6, rel=1e-9)
        assert document["area_km2"][layer] == pytest.approx(drawn.sum() / 1e6, rel=1e-4)
        assert document["pixels"][layer] == (classes == code).sum()


def test_polygons_have_area_and_mean_probability(tmp_path: Path) -> None:
    percent, classes = np.full((20, 20), 10, np.uint8), np.zeros((20, 20), np.uint8)
    classes[2:4, 2:6] = 1
    percent[2, 2:6], percent[3, 2:6] = 80, 90
    classes[10:12, 10:12] = 1
    percent[10:12, 10:12] = 255
    document = write(tmp_path / "out", GeoGrid(UTM.crs, UTM.transform, 20, 20), percent, classes)
    with sqlite3.connect(tmp_path / "out/flood.gpkg") as database:
        rows = database.execute("SELECT class, area_m2, probability FROM flood ORDER BY fid").fetchall()
        layers = database.execute("SELECT table_name, srs_id FROM gpkg_contents ORDER BY 1").fetchall()
    database.close()
    pixel = 100 / 0.9996**2
    assert rows[0] == ("flood", pytest.approx(8 * pixel, rel=1e-6), 85)
    assert rows[1] == ("flood", pytest.approx(4 * pixel, rel=1e-6), None)
    assert layers == [("flood", 32633), ("layer_styles", 0), ("permanent_water", 32633)]
    assert document["area_km2"]["flood"] == pytest.approx(12 * pixel / 1e6, rel=1e-6)
    assert document["area_km2"]["land"] == pytest.approx(388 * pixel / 1e6, rel=1e-6)


def test_products_do_not_depend_on_the_strips(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    percent, classes = scene((70, 90))
    monkeypatch.setattr("floodseg.products.writer.strip_rows", lambda width: 16)
    documents, tables = [], []
    for step in (1, 33, 70):
        out = tmp_path / str(step)
        documents.append(write(out, UTM, percent, classes, step=step, min_area=900))
        tables.append(geopandas.read_file(out / "flood.gpkg", layer="flood"))
        with rasterio.open(out / "flood.tif") as file:
            filtered = file.read(1)
        assert (filtered[classes == 2] == 2).any()
        assert ((filtered == classes) | (filtered == 0)).all()
        assert (filtered != classes).sum() > 20
    assert documents[0]["removed_patches"] == documents[1]["removed_patches"] == documents[2]["removed_patches"] > 5
    assert documents[0]["area_km2"] == documents[1]["area_km2"] == documents[2]["area_km2"]
    assert tables[0].equals(tables[1])
    assert tables[0].equals(tables[2])
    assert tables[0]["area_m2"].min() >= 900


def test_summary_has_provenance_and_settings(tmp_path: Path) -> None:
    percent, classes = scene((70, 90))
    with ProductWriter(tmp_path / "out", UTM, info(settings={"tile_size": 512})) as writer:
        writer.write(ProductStrip(0, percent, classes))
        assert names_in(tmp_path / "out") == [".lock"]
        document = writer.finish(seconds=1.5, assumptions=["bands by order"], extra={"device": "cpu"})
    assert names_in(tmp_path / "out") == sorted([*PRODUCTS, ITEM])
    assert document == json.loads((tmp_path / "out/summary.json").read_text())
    assert document["valid_share"] == pytest.approx(0.9)
    assert document["datetime"] == "2024-11-01T06:30:00Z"
    assert document["inputs"] == {"sar": ["scenes/S1A_vv.tif", "scenes/S1A_vh.tif"]}
    assert (document["assumptions"], document["device"]) == (["bands by order"], "cpu")
    # includes the time of finish
    assert 1.5 < document["seconds"] < 31.5
    assert document["settings"] == {"tile_size": 512}
    assert {"python", "floodseg", "gdal", "torch"} <= set(document["versions"])


def test_without_a_coordinate_system_areas_are_unknown(tmp_path: Path) -> None:
    percent, classes = scene((30, 30))
    for number, transform in enumerate(((1.0, 0.0, 0.0, 0.0, 1.0, 0.0), (1.0, 0.0, 5.0, 0.0, -1.0, 7.0))):
        out = tmp_path / str(number)
        document = write(out, GeoGrid(None, transform, 30, 30), percent, classes, background=np.full((9, 9), 0.5))
        assert set(document["area_km2"].values()) == {None}
        assert "areas are unknown" in document["assumptions"][-1]
        table = geopandas.read_file(out / "flood.gpkg", layer="flood")
        assert table["area_m2"].isna().all()
        assert table.geometry.area.sum() == (classes == 1).sum()
        item = json.loads((out / "item.json").read_text())
        assert item["geometry"] is None
        assert "bbox" not in item
    with pytest.raises(ConfigError, match=r"`min_area=50`: .* give the scene a coordinate system"):
        write(tmp_path / "no", GeoGrid(None, transform, 30, 30), percent, classes, min_area=50)


@pytest.mark.parametrize("code", [0, 255])
def test_map_without_water_has_empty_layers(tmp_path: Path, code: int) -> None:
    classes = np.full((5, 6), code, dtype=np.uint8)
    grid = GeoGrid(UTM.crs, UTM.transform, 5, 6)
    document = write(tmp_path / "out", grid, np.where(classes == 255, 255, 3).astype(np.uint8), classes)
    assert document["area_km2"]["flood"] == 0
    assert document["valid_share"] == (code == 0)
    for layer in ("flood", "permanent_water"):
        table = geopandas.read_file(tmp_path / "out/flood.gpkg", layer=layer)
        assert list(table.columns) == ["class", "area_m2", "probability", "geometry"]
        assert (len(table), table.crs) == (0, "EPSG:32633")


@contextmanager
def no_file_above(size: int) -> Iterator[None]:
    """Make writes fail, as on a full disk, when a file grows beyond ``size`` bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


@pytest.mark.parametrize(
    ("limit", "reason"),
    [(130_000, "File too large"), (258_000, "water_probability.tif"), (262_000, "Could not add feature")],
    ids=["rows", "rasters", "polygons"],
)
def test_full_disk_leaves_no_products(tmp_path: Path, limit: int, reason: str) -> None:
    """The disk is full while rows, cloud-optimized rasters or polygons are written."""
    random = np.random.default_rng(0)
    # values that do not compress: the cloud-optimized raster is larger than the raw file
    percent = random.integers(0, 255, (512, 500)).astype(np.uint8)
    classes = (random.random((512, 500)) < (0.2 if limit > 260_000 else 0.0002)).astype(np.uint8)
    expected = f"the products cannot be written .*{reason}.* free some space"
    with no_file_above(limit), pytest.raises(RunFolderError, match=expected):
        write(tmp_path / "out", GeoGrid(UTM.crs, UTM.transform, 512, 500), percent, classes, step=512)
    assert not list(tmp_path.iterdir())


def test_interrupted_run_keeps_the_previous_products(tmp_path: Path) -> None:
    percent, classes = scene((30, 30))
    grid = GeoGrid(UTM.crs, UTM.transform, 30, 30)
    write(tmp_path / "out", grid, percent, classes)
    before = {path: path.read_bytes() for path in (tmp_path / "out").iterdir()}

    def interrupted() -> None:
        with ProductWriter(tmp_path / "out", grid, info(), WriterSettings(overwrite=True)) as writer:
            writer.write(ProductStrip(0, percent[:20], classes[:20]))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert {path: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    with (
        pytest.raises(RunFolderError, match="holds finished products"),
        ProductWriter(tmp_path / "out", grid, info()),
    ):
        pass


def test_scene_without_a_date_has_no_item(tmp_path: Path) -> None:
    with ProductWriter(tmp_path / "out", UTM, info(acquisition=None)) as writer:
        writer.write(ProductStrip(0, *scene((70, 90))))
        document = writer.finish()
    assert (document["datetime"], document["datetime_source"]) == (None, None)
    assert names_in(tmp_path / "out") == sorted(PRODUCTS)
    with rasterio.open(tmp_path / "out/flood.tif") as file:
        assert "TIFFTAG_DATETIME" not in file.tags()


def test_run_killed_before_publish_can_be_repeated(tmp_path: Path) -> None:
    """Kill a run after it has written the products and before it publishes them."""
    program = """
        import os, signal, sys
        sys.path.insert(0, sys.argv[2])
        from pathlib import Path
        import test_writer as tests
        from floodseg.products.folder import ProductFolder
        ProductFolder.publish = lambda self: os.kill(os.getpid(), signal.SIGKILL)
        tests.write(Path(sys.argv[1]), tests.UTM, *tests.scene((70, 90)))
    """
    out = tmp_path / "out"
    arguments = [sys.executable, "-c", textwrap.dedent(program), str(out), str(Path(__file__).parent)]
    assert subprocess.run(arguments, check=False).returncode == -9
    assert [path.name for path in out.iterdir()] == [".lock"]
    write(out, UTM, *scene((70, 90)))
    assert names_in(out) == sorted([*PRODUCTS, ITEM])
    assert names_in(tmp_path) == ["out"]
