"""Context of an area of interest: what is read around it, and the map with and without it."""

from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pytest
import rasterio
import shapely
from numpy.typing import NDArray

import floodseg
from floodseg.config.fetch import DEFAULT_CONTEXT
from floodseg.config.predict import MapConfig, PredictConfig, SceneConfig
from floodseg.geo.grid import GeoGrid, Window
from floodseg.inference import context
from floodseg.inference.context import AreaWindows, area_windows, context_of, cropped
from floodseg.inference.model_choice import SHIPPED_BY_SENSORS
from floodseg.inference.predict import open_model_or_baseline
from floodseg.products.strips import ProbabilityStrip
from floodseg.simulate.demo_terrain import DEMO_EVENT, simulate_valley
from floodseg.simulate.sensors import simulate_sar

WEST, NORTH = 738_500.0, 4_995_500.0
AREA = Window(130, 141, 70, 90)


def write_part(path: Path, image: NDArray[np.float32], window: Window) -> Path:
    """Write a window of a radar image (2, H, W) in dB."""
    transform = rasterio.Affine(10, 0, WEST + 10 * window.left, 0, -10, NORTH - 10 * window.top)
    part = image[:, window.top : window.top + window.height, window.left : window.left + window.width]
    with rasterio.open(
        path, "w", driver="GTiff", count=2, height=window.height, width=window.width, dtype="float32",
        crs="EPSG:32632", transform=transform,
    ) as target:  # fmt: skip
        target.write(part)
        target.descriptions = ("VV", "VH")
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a simulated radar image, of its part inside an area, and of the area."""
    folder = tmp_path_factory.mktemp("scene")
    rng = np.random.default_rng(7)
    terrain, _ = simulate_valley(rng, 320, 352)
    image = simulate_sar(rng, terrain, DEMO_EVENT)
    write_part(folder / "scene_20241031.tif", image, Window(0, 0, 320, 352))
    write_part(folder / "part_20241031.tif", image, AREA)
    left, top = WEST + 10 * AREA.left, NORTH - 10 * AREA.top
    box = shapely.box(left, top - 10 * AREA.height, left + 10 * AREA.width, top)
    geopandas.GeoDataFrame(geometry=[box], crs="EPSG:32632").to_file(folder / "area.gpkg")
    return folder


def probability(out_dir: Path, **settings: Any) -> NDArray[np.uint8]:
    """Map a scene and return its water probability."""
    floodseg.predict_scene(model="s1-lite", out_dir=out_dir, **settings)
    with rasterio.open(out_dir / "water_probability.tif") as source:
        values: NDArray[np.uint8] = source.read(1)
    return values


def test_map_of_an_area_equals_that_of_the_scene(folder: Path, tmp_path: Path) -> None:
    """A model without layers that pool over the window maps the area bit for bit as in the complete scene."""
    scene = probability(tmp_path / "scene", sar=folder / "scene_20241031.tif")
    area = probability(tmp_path / "area", sar=folder / "scene_20241031.tif", aoi=folder / "area.gpkg")
    part = probability(tmp_path / "part", sar=folder / "part_20241031.tif")
    expected = scene[AREA.top : AREA.top + AREA.height, AREA.left : AREA.left + AREA.width]
    np.testing.assert_array_equal(area, expected)
    assert (part != expected).mean() > 0.5, "without context, most pixels differ"


def test_image_from_before_is_mapped_with_context(folder: Path, tmp_path: Path) -> None:
    before = {"sar_before": folder / "scene_20241031.tif", "aoi": folder / "area.gpkg"}
    settings: dict[str, Any] = {"model": "s1-lite", "sar": folder / "scene_20241031.tif", **before}
    flood_map = floodseg.predict_scene(**settings, out_dir=tmp_path / "out")
    assert flood_map.summary["pixels"]["flood"] == 0, "the same image has the same water, to the border of the area"
    assert flood_map.summary["pixels"]["permanent_water"] > 0


def test_models_that_are_chosen_need_at_most_the_default_context() -> None:
    for sensors, name in SHIPPED_BY_SENSORS.items():
        runtime, _ = open_model_or_baseline(name, MapConfig())
        assert context_of(runtime, MapConfig()) <= DEFAULT_CONTEXT, sensors


@pytest.mark.parametrize(
    ("model", "overlap", "context"), [("otsu", None, 0), ("s1-lite", None, 128), ("s1-lite", 64, 32)]
)
def test_context_is_half_the_overlap(model: str, overlap: int | None, context: int) -> None:
    mapping = MapConfig(overlap=overlap)
    runtime, _ = open_model_or_baseline(model, mapping)
    assert context_of(runtime, mapping) == context


@pytest.mark.parametrize(
    ("installed", "method", "pixel", "searched"),
    [
        # 64 cells of 3 pixels around the mapped window, from a multiple of 3 to the end of the grid
        (True, "auto", 10, (63, 96, 600 - 63, 562 + 192 - 96)),
        (True, "csmask", 30, (192, 224, 432 + 64 - 192, 562 + 64 - 224)),
        (True, "none", 10, (256, 288, 176, 274)),
        (False, "auto", 10, (256, 288, 176, 274)),
    ],
)
def test_clouds_are_searched_around_the_mapped_window(
    installed: bool, method: str, pixel: int, searched: tuple[int, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(context, "csmask_is_installed", lambda: installed)
    grid = GeoGrid("EPSG:32632", (pixel, 0.0, 500_000.0, 0.0, -pixel, 5_000_000.0), 600, 1000)
    left, top = 500_000 + 330 * pixel, 5_000_000 - 300 * pixel
    box = shapely.box(left, top - 100 * pixel, left + 200 * pixel, top)
    geopandas.GeoDataFrame(geometry=[box], crs=grid.crs).to_file(tmp_path / "area.gpkg")
    config = PredictConfig(
        scene=SceneConfig(optical=("s2.tif",), aoi=str(tmp_path / "area.gpkg"), cloud_mask=method), out_dir=tmp_path
    )
    runtime, _ = open_model_or_baseline("s2", config.mapping)
    windows = area_windows(config, runtime, grid)
    assert windows == AreaWindows(Window(*searched), Window(256, 288, 176, 274), Window(300, 330, 100, 200))


def test_strips_are_cut_to_the_area() -> None:
    received: list[ProbabilityStrip] = []
    sink = cropped(received.append, Window(3, 2, 4, 5))
    rows = np.arange(80, dtype=np.float32).reshape(10, 8)
    for top, bottom in ((0, 3), (3, 5), (5, 10)):
        codes = np.ones((bottom - top, 8), np.uint8)
        sink(ProbabilityStrip(top, rows[top:bottom], codes, codes))
    assert [(strip.top, *strip.probability.shape) for strip in received] == [(0, 2, 5), (2, 2, 5)]
    np.testing.assert_array_equal(np.concatenate([strip.probability for strip in received]), rows[3:7, 2:7])
