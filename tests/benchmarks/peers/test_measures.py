"""Tests of the measures of a map: seams, files, lines of code, nodata."""

import geopandas
import numpy as np
import rasterio
from benchmarks.peers.measures import (
    MARGIN,
    SHIFT,
    code_lines,
    cut_scene,
    describe_files,
    mapped_nodata_share,
    seam_share,
)
from shapely.geometry import box

from scenes import ORIGIN, PIXEL, write_raster

COMPARED = 100
"""Height and width in pixels of the part of the maps below that counts."""


def two_maps():
    """Return a random map of a scene, and the same map without its first rows and columns."""
    side = SHIFT + 2 * MARGIN + COMPARED
    classes = np.random.default_rng(0).integers(0, 2, (side, side), np.uint8)
    return classes, classes[SHIFT:, SHIFT:].copy()


def test_seams_are_zero_if_the_windows_have_no_effect():
    assert seam_share(*two_maps()) == 0


def test_seams_are_the_share_of_changed_pixels():
    classes, of_cut = two_maps()
    of_cut[MARGIN, MARGIN : MARGIN + 30] ^= 1
    assert seam_share(classes, of_cut) == 30 / COMPARED**2
    of_cut[MARGIN + 1 : MARGIN + 51] = 255  # 50 rows of nodata do not count
    assert seam_share(classes, of_cut) == 30 / (COMPARED**2 / 2)


def test_seams_are_not_counted_near_the_border():
    classes, of_cut = two_maps()
    of_cut[:MARGIN] ^= 1
    of_cut[:, -MARGIN:] ^= 1
    assert seam_share(classes, of_cut) == 0


def test_cut_scene_keeps_values_and_places(tmp_path):
    image = np.random.default_rng(0).normal(size=(2, 200, 180)).astype(np.float32)
    scene = write_raster(tmp_path / "scene.tif", image, nodata=np.nan, names=("VV", "VH"))
    cut_scene(scene, tmp_path / "cut.tif")
    with rasterio.open(tmp_path / "cut.tif") as file:
        np.testing.assert_array_equal(file.read(), image[:, SHIFT:, SHIFT:])
        assert file.descriptions == ("VV", "VH")
        assert (file.transform.c, file.transform.f) == (ORIGIN[0] + SHIFT * PIXEL, ORIGIN[1] - SHIFT * PIXEL)


def test_nodata_with_a_class_is_counted(tmp_path):
    image = np.ones((2, 4, 4), np.float32)
    classes = np.zeros((4, 4), np.uint8)
    complete = write_raster(tmp_path / "complete.tif", image, nodata=np.nan)
    assert mapped_nodata_share(complete, classes) is None
    image[0, 0] = np.nan  # 4 pixels
    classes[0, 0] = 255
    scene = write_raster(tmp_path / "scene.tif", image, nodata=np.nan)
    assert mapped_nodata_share(scene, classes) == 0.75


def test_files_are_described_by_what_qgis_finds(tmp_path):
    classes = np.zeros((1, 8, 8), np.uint8)
    write_raster(tmp_path / "grey.tif", classes)
    write_raster(tmp_path / "styled.tif", classes, nodata=255)
    (tmp_path / "styled.qml").write_text("<qgis/>")
    write_raster(tmp_path / "palette.tif", classes)
    with rasterio.open(tmp_path / "palette.tif", "r+") as file:
        file.write_colormap(1, {0: (0, 0, 0, 255), 1: (0, 0, 255, 255)})
    geopandas.GeoDataFrame(geometry=[box(0, 0, 1, 1)], crs="EPSG:32633").to_file(tmp_path / "x.gpkg", layer="flood")
    nothing = {"kind": "raster", "styled": False, "named": False, "nodata": False, "overviews": False}
    assert describe_files(tmp_path) == [
        {**nothing, "name": "grey.tif"},
        {**nothing, "name": "palette.tif", "styled": True},
        {**nothing, "name": "styled.tif", "styled": True, "named": True, "nodata": True},
        {"name": "x.gpkg: flood", "kind": "polygons", "styled": False},
    ]


def test_lines_of_code_are_without_comments_docstrings_and_blank_lines(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        '"""A docstring\nof two lines."""\n\nimport sys  # used below\n\n# a comment\nprint(\n    sys.argv,\n)\n'
    )
    assert code_lines(script) == 4
