"""Tests of the thumbnail: block means, independent of the windows."""

import numpy as np
import pytest

from floodseg.bands import Bands
from floodseg.geo.grid import Window
from floodseg.geo.tiling import Tiling
from floodseg.scene import thumbnail
from floodseg.scene.thumbnail import ThumbnailScene
from map_fakes import MemoryScene, radar_scene


def block_means(image, valid, step):
    """Return means over the valid pixels of blocks, NaN without valid pixels. The last blocks may be smaller."""
    rows, columns = -(-image.shape[0] // step), -(-image.shape[1] // step)
    means = np.full((rows, columns), np.nan)
    for row in range(rows):
        for column in range(columns):
            block = np.s_[row * step : (row + 1) * step, column * step : (column + 1) * step]
            if valid[block].any():
                means[row, column] = image[block][valid[block]].mean()
    return means


def stretched(means):
    low, high = np.nanpercentile(means, (2, 98))
    return np.clip((means - low) / (high - low), 0, 1)


def read_all(scene, tile, overlap, seed=0):
    tiling = Tiling.plan(scene.grid.height, scene.grid.width, tile, overlap)
    windows = [tiling.window(row, column) for row in range(tiling.rows.count) for column in range(tiling.columns.count)]
    for index in np.random.default_rng(seed).permutation(len(windows)):
        scene.read(windows[index])


@pytest.mark.parametrize("shape", [(1, 1), (1, 333), (301, 1), (203, 331)])
@pytest.mark.parametrize("long_side", [400, 100, 47])
def test_radar_is_grey_and_independent_of_window_order(monkeypatch, shape, long_side):
    monkeypatch.setattr(thumbnail, "LONG_SIDE", long_side)
    scene = radar_scene(*shape, gaps=max(shape) > 1)
    thumbnail_scene = ThumbnailScene(scene, overlap=64)
    assert thumbnail_scene.step == -(-max(shape) // long_side)
    read_all(thumbnail_scene, 64, 64)
    picture = thumbnail_scene.picture()
    expected = block_means(scene.sar[0].astype(np.float64), scene.sar_valid, thumbnail_scene.step)
    assert picture.shape == expected.shape
    if picture.size > 1:
        np.testing.assert_allclose(picture, stretched(expected), atol=1e-4)
    other = ThumbnailScene(scene, overlap=64)
    read_all(other, 128, 64, seed=1)
    np.testing.assert_allclose(other.picture(), picture, atol=1e-5)


def test_windows_without_overlap_fill_all_blocks(monkeypatch):
    monkeypatch.setattr(thumbnail, "LONG_SIDE", 100)
    scene = radar_scene(203, 450)
    thumbnail_scene = ThumbnailScene(scene, overlap=0)
    assert thumbnail_scene.step == 8  # 5 blocks would straddle windows, which begin at multiples of 32
    read_all(thumbnail_scene, 64, 0)
    assert np.isfinite(thumbnail_scene.picture()).all()


def test_optical_scene_is_in_true_colour_or_grey(monkeypatch):
    monkeypatch.setattr(thumbnail, "LONG_SIDE", 20)
    rng = np.random.default_rng(0)
    optical = rng.uniform(0, 0.4, (4, 37, 55)).astype(np.float32)
    valid = rng.random((37, 55)) > 0.2
    nothing = np.zeros((0, 37, 55), np.float32), np.zeros((37, 55), np.bool_)
    scene = MemoryScene(*nothing, optical, valid, bands=Bands((), ("B02", "B03", "B04", "B08")))
    thumbnail_scene = ThumbnailScene(scene, 64)
    read_all(thumbnail_scene, 64, 64)
    expected = np.stack([block_means(optical[band].astype(np.float64), valid, 3) for band in (2, 1, 0)], axis=-1)
    np.testing.assert_allclose(thumbnail_scene.picture(), np.clip(expected * 3.5, 0, 1), atol=1e-5)

    scene.bands = Bands((), ("B08", "B11", "B12", "B05"))
    grey = ThumbnailScene(scene, 64)
    read_all(grey, 64, 64)
    np.testing.assert_allclose(
        grey.picture(), stretched(block_means(optical[0].astype(np.float64), valid, 3)), atol=1e-5
    )


@pytest.mark.parametrize("names", [("B02", "B03", "B04"), ("B08", "B11", "B12")])
def test_optical_image_fills_the_picture_where_radar_is_missing(names):
    scene = radar_scene(40, 60)
    scene.sar_valid[:, 20:] = False
    scene.optical = np.random.default_rng(0).uniform(0, 0.4, (3, 40, 60)).astype(np.float32)
    scene.optical_valid = np.broadcast_to(np.arange(60) < 50, (40, 60))
    scene.bands = Bands(("VV", "VH"), names)
    thumbnail_scene = ThumbnailScene(scene, 64)
    read_all(thumbnail_scene, 64, 64)
    picture = thumbnail_scene.picture()
    radar, optical = stretched(np.where(scene.sar_valid, scene.sar[0], np.nan)), scene.optical
    if "B04" in names:
        radar, optical = radar[..., None], np.clip(optical[::-1].transpose(1, 2, 0) * 3.5, 0, 1)
        assert picture.shape == (40, 60, 3)
    else:
        optical = stretched(np.where(scene.optical_valid, optical[0], np.nan))
    np.testing.assert_allclose(picture[:, :20], np.broadcast_to(radar[:, :20], picture[:, :20].shape), atol=1e-4)
    np.testing.assert_allclose(picture[:, 20:50], optical[:, 20:50], atol=1e-5)
    assert np.isnan(picture[:, 50:]).all()


def test_reading_is_unchanged_and_pixels_without_data_are_nan():
    scene = radar_scene(40, 50)
    scene.sar_valid[:] = False
    thumbnail_scene = ThumbnailScene(scene, 64)
    content, plain = thumbnail_scene.read(Window(-3, -3, 64, 64)), scene.read(Window(0, 0, 64, 64))
    assert content.sar.shape == plain.sar.shape
    assert np.isnan(thumbnail_scene.picture()).all()
