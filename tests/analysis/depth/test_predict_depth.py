"""Depth beside the map: ``floodseg predict --depth``."""

import json
from pathlib import Path

import numpy as np
import pytest
import rasterio

import floodseg
from floodseg.bands import Bands
from floodseg.cluster.scene_list import read_scenes
from floodseg.config.predict import SceneConfig, SharedScene
from floodseg.errors import ConfigError
from floodseg.products.folder import DEPTH_PRODUCTS
from floodseg.simulate.demo_scene import make_demo_scene
from stac_schema import check_item


def test_predict_writes_the_depth_of_its_map(tmp_path: Path) -> None:
    scene = make_demo_scene(tmp_path / "scene", height=256, width=320)
    settings = {
        "sar": str(scene.sar), "model": "otsu", "dem": str(scene.dem), "permanent_water": str(scene.permanent_water),
        "permanent_water_threshold": 50,
    }  # fmt: skip
    mapped = floodseg.predict_scene(
        **settings, depth=True, water_level=True, dem_kind="terrain", out_dir=tmp_path / "map"
    )
    alone = floodseg.flood_depth(
        tmp_path / "map/flood.tif", scene.dem, water_level=True, dem_kind="terrain", out_dir=tmp_path / "depth"
    )
    entries = json.loads(json.dumps(mapped.summary["depth"]))
    assert entries["volume_m3"] > 0
    assert {name: alone.summary[name] for name in entries} == entries
    assert mapped.summary["settings"]["depth"] is True
    for name in DEPTH_PRODUCTS:
        assert (tmp_path / "map" / name).stat().st_size > 0
        if name.endswith(".tif"):
            with rasterio.open(tmp_path / "map" / name) as one, rasterio.open(tmp_path / "depth" / name) as other:
                np.testing.assert_array_equal(one.read(1), other.read(1))
    item = json.loads((tmp_path / "map/item.json").read_text())
    check_item(item)
    assert item["assets"]["depth"]["href"] == "./depth.tif"
    assert item["assets"]["flood"]["href"] == "./flood.tif"
    floodseg.predict_scene(**settings, out_dir=tmp_path / "map", overwrite=True)
    assert not any((tmp_path / "map" / name).exists() for name in DEPTH_PRODUCTS)  # they belonged to the former map


def test_settings_of_the_depth_are_checked(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="`depth`: needs an elevation model; set `dem`"):
        SceneConfig(depth=True)
    with pytest.raises(
        ConfigError, match="`water_level=True`: has no effect without `depth`; leave it out, or set `depth`"
    ):
        SceneConfig(dem="dem.tif", water_level=True)
    assert SceneConfig(dem="dem.tif", depth=True, water_level=True).min_shore_samples == 10
    # lists of scenes have the same columns
    (tmp_path / "scenes.csv").write_text("id,sar,dem,depth,min_shore_samples,dem_kind\na,a.tif,d.tif,yes,25,surface\n")
    [named] = read_scenes(tmp_path / "scenes.csv", SharedScene(), Bands(("VV", "VH"), ()))
    config = named.config
    assert (config.depth, config.min_shore_samples, config.dem_kind) == (True, 25, "surface")
    (tmp_path / "scenes.csv").write_text("id,sar,dem,depth,min_shore_samples\na,a.tif,d.tif,yes,many\n")
    with pytest.raises(ConfigError, match="`min_shore_samples=many`: must be an integer"):
        read_scenes(tmp_path / "scenes.csv", SharedScene(), Bands(("VV", "VH"), ()))
