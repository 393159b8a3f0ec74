"""Tests of opening rasters: extent, band names and damaged files."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from rasterio.transform import Affine

from floodseg.errors import DataError
from floodseg.raster.dataset import (
    Extent,
    check_same_extent,
    extent_of,
    open_raster,
)

UTM = Affine(10.0, 0.0, 500_000.0, 0.0, -10.0, 4_000_000.0)


def test_extent_holds_size_and_grid(tmp_path: Path, write_raster: Callable[..., Path]) -> None:
    path = write_raster(tmp_path / "a.tif", np.zeros((4, 6), np.uint8), crs="EPSG:32630", transform=UTM)
    with open_raster(path) as source:
        extent = extent_of(source)
    assert (extent.path, extent.height, extent.width) == (path, 4, 6)
    assert extent.grid is not None
    assert extent.grid.crs == "EPSG:32630"
    assert extent.grid.transform == (10.0, 0.0, 500_000.0, 0.0, -10.0, 4_000_000.0)


def test_raster_without_georeference_has_no_grid_and_no_warning(
    tmp_path: Path, write_raster: Callable[..., Path]
) -> None:
    with open_raster(write_raster(tmp_path / "a.tif", np.zeros((4, 6), np.uint8))) as source:
        assert extent_of(source).grid is None


@pytest.mark.parametrize(
    ("content", "cause"),
    [
        (b"", r"is empty \(0 bytes\)"),
        (b"no image at all", "is not an image"),
        (b"II*\0", "is a TIFF whose header is cut off or damaged"),
        (b"II*\0\x08\0\0\0\x10\0", "is a TIFF whose header is cut off or damaged"),
    ],
)
def test_broken_file_is_a_data_error_with_name_and_cause(tmp_path: Path, content: bytes, cause: str) -> None:
    path = tmp_path / "Spain_1_S1Hand.tif"
    path.write_bytes(content)
    with (
        pytest.raises(DataError, match=rf"Spain_1_S1Hand\.tif: {cause}.*; copy or download it again"),
        open_raster(path),
    ):
        pass


def test_truncated_file_is_a_data_error_at_reading(tmp_path: Path, write_raster: Callable[..., Path]) -> None:
    path = write_raster(tmp_path / "a.tif", np.random.default_rng(0).random((64, 64)))
    path.write_bytes(path.read_bytes()[:-9000])
    message = r"a\.tif: is cut off at band 1, block column 0, row \d; copy or"
    with pytest.raises(DataError, match=message), open_raster(path) as source:
        source.read([1])


def test_damaged_block_is_not_reported_as_truncation(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    profile = {"driver": "GTiff", "count": 1, "height": 64, "width": 64, "dtype": "float64", "compress": "deflate"}
    with rasterio.open(path, "w", crs="EPSG:32630", transform=UTM, **profile) as target:
        target.write(np.random.default_rng(0).random((1, 64, 64)))
    content = bytearray(path.read_bytes())
    content[-8000:-4000] = bytes(4000)
    path.write_bytes(content)
    message = r"a\.tif: is damaged at band 1, block column 0, row \d; copy or download it again"
    with pytest.raises(DataError, match=message), open_raster(path) as source:
        source.read([1])


def test_missing_file_is_a_data_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"absent\.tif: no such file; restore it"), open_raster(tmp_path / "absent.tif"):
        pass


def test_folders_and_broken_links_are_data_errors(tmp_path: Path) -> None:
    (tmp_path / "folder.tif").mkdir()
    (tmp_path / "loop.tif").symlink_to(tmp_path / "loop.tif")
    (tmp_path / "dangling.tif").symlink_to(tmp_path / "gone.tif")
    (tmp_path / "file").touch()
    for name, cause in (
        ("folder.tif", "is a folder, not an image"),
        ("loop.tif", "is a link that leads back to itself"),
        ("dangling.tif", r"is a link to .*gone\.tif, which does not exist"),
        ("file/a.tif", r"cannot be reached \(Not a directory\)"),
    ):
        with pytest.raises(DataError, match=rf"{name}: {cause}"), open_raster(tmp_path / name):
            pass


def _extents(tmp_path: Path, write_raster: Callable[..., Path], **second: Any) -> list[Extent]:
    settings = {"size": (4, 6), "crs": "EPSG:32630", "transform": UTM} | second
    paths = [
        write_raster(tmp_path / "one.tif", np.zeros((4, 6), np.uint8), crs="EPSG:32630", transform=UTM),
        write_raster(
            tmp_path / "two.tif",
            np.zeros(settings["size"], np.uint8),
            crs=settings["crs"],
            transform=settings["transform"],
        ),
    ]
    extents = []
    for path in paths:
        with open_raster(path) as source:
            extents.append(extent_of(source))
    return extents


@pytest.mark.parametrize(
    "second",
    [
        {},
        {"transform": UTM @ Affine.translation(0.4, 0.4)},
        {"crs": None, "transform": None},
    ],
    ids=["equal", "0.4 pixels apart", "not georeferenced"],
)
def test_equal_extents_pass(tmp_path: Path, write_raster: Callable[..., Path], second: dict[str, Any]) -> None:
    one, two = _extents(tmp_path, write_raster, **second)
    check_same_extent(one, two)


@pytest.mark.parametrize(
    ("second", "rule"),
    [
        ({"size": (4, 7)}, "same size"),
        ({"transform": UTM @ Affine.translation(0.6, 0.0)}, "different grids"),
        ({"crs": "EPSG:32631"}, "different grids"),
    ],
    ids=["size", "0.6 pixels apart", "zone"],
)
def test_different_extents_are_refused_with_both_names(
    tmp_path: Path, write_raster: Callable[..., Path], second: dict[str, Any], rule: str
) -> None:
    one, two = _extents(tmp_path, write_raster, **second)
    with pytest.raises(DataError, match=rf"one\.tif.*two\.tif.*{rule}"):
        check_same_extent(one, two)
