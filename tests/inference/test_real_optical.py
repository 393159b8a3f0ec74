"""Maps of one place from Sentinel-2 at both levels and at 10 m and 20 m. They need FLOODSEG_DATA."""

import os
from pathlib import Path

import geopandas
import numpy as np
import pytest
import rasterio
import shapely
from numpy.typing import NDArray
from rasterio.transform import Affine

import floodseg
from floodseg.models.checkpoint.zoo import WEIGHTS

_PAIRS = Path(os.environ.get("FLOODSEG_DATA") or "no data root") / "optical/pairs"
_PLACE = "282D_485L_3_3"
"""One third of it is open water. Its L1C image holds an offset."""
OFFSETS = {"S2L1C": -1000.0, "S2L2A": None}
COARSE_BANDS = ("B02", "B03", "B04", "B8A", "B11", "B12")

needs_pairs = pytest.mark.skipif(not _PAIRS.is_dir(), reason="FLOODSEG_DATA does not hold optical/pairs")
needs_s2 = pytest.mark.skipif(not (WEIGHTS / "s2").is_dir(), reason="the weights s2 are not shipped")


def write_20_m(level: str, folder: Path) -> Path:
    """Write six bands of an image as means of 2 x 2 pixels, with B8A in place of B08."""
    with rasterio.open(_PAIRS / f"{_PLACE}_{level}.tif") as source:
        bands = source.read([source.descriptions.index(band) + 1 for band in COARSE_BANDS]).astype(np.float32)
        profile = {**source.profile, "transform": source.transform @ Affine.scale(2)}
    means = bands.reshape(6, 112, 2, 112, 2).mean(axis=(2, 4)).round().astype(np.int16)
    path = folder / f"{level}.tif"
    with rasterio.open(path, "w", **{**profile, "count": 6, "height": 112, "width": 112}) as target:
        target.write(means)
        target.descriptions = COARSE_BANDS
    return path


def water(model: str, optical: Path, level: str) -> NDArray[np.bool_]:
    result = floodseg.predict_scene(optical=optical, optical_offset=OFFSETS[level], model=model, cloud_mask="none")
    water: NDArray[np.bool_] = result.classes == 1
    return water


@pytest.mark.slow
@needs_pairs
@pytest.mark.parametrize("model", ["ndwi", pytest.param("s2", marks=needs_s2)])
def test_maps_of_both_levels_and_pixel_sizes_agree(model: str, tmp_path: Path) -> None:
    fine = {level: water(model, _PAIRS / f"{_PLACE}_{level}.tif", level) for level in OFFSETS}
    assert 0.25 < fine["S2L2A"].mean() < 0.4
    assert (fine["S2L1C"] == fine["S2L2A"]).mean() > 0.97
    for level, expected in fine.items():
        coarse = water(model, write_20_m(level, tmp_path), level).repeat(2, axis=0).repeat(2, axis=1)
        assert (coarse == expected).mean() > 0.96


@pytest.mark.slow
@needs_pairs
@needs_s2
def test_clouds_of_an_area_are_those_of_the_scene(tmp_path: Path) -> None:
    """Csmask searches the surroundings of an area. Without them it finds a fifth of the clouds here (bright sand)."""
    image, first_column = _PAIRS / f"{_PLACE}_S2L2A.tif", 120
    with rasterio.open(image) as source:
        box = shapely.box(source.bounds.left + first_column * source.transform.a, *source.bounds[1:])
        geopandas.GeoDataFrame(geometry=[box], crs=source.crs).to_file(tmp_path / "area.gpkg")
    scene = floodseg.predict_scene(optical=image, model="s2").classes
    part = floodseg.predict_scene(optical=image, model="s2", aoi=tmp_path / "area.gpkg").classes
    expected = scene[:, first_column:]
    assert (expected == 255).mean() > 0.05
    assert (part == expected).mean() > 0.99
