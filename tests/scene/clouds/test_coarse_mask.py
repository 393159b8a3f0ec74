"""Tests of coarse masks of clouds: tiles, cells, windows, and equality with a search in one piece."""

import time
from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray

from floodseg.bands import Bands
from floodseg.errors import DataError
from floodseg.geo.grid import GeoGrid, Window
from floodseg.scene.clouds import coarse_mask
from floodseg.scene.clouds.bright_pixels import BLUE, SHORTWAVE, BrightPixels
from floodseg.scene.clouds.coarse_mask import CoarseMask, cell_side, find_clouds
from map_fakes import MemoryScene

BRIGHT = BrightPixels()


def optical_scene(height: int, width: int, seed: int = 0) -> MemoryScene:
    """Return blue and shortwave reflectance, random around the thresholds in blocks of about 15 pixels."""
    rng = np.random.default_rng(seed)
    coarse = rng.uniform(0, 0.5, (2, height // 15 + 1, width // 15 + 1))
    optical = coarse.repeat(15, 1).repeat(15, 2)[:, :height, :width].astype(np.float32)
    none = np.zeros((0, height, width), np.float32)
    return MemoryScene(
        none, np.zeros((height, width), np.bool_), optical, np.ones((height, width), np.bool_), Bands((), BRIGHT.bands)
    )


def complete(scene: MemoryScene) -> Window:
    return Window(0, 0, scene.grid.height, scene.grid.width)


def expected_cells(scene: MemoryScene) -> NDArray[np.bool_]:
    """Return the bright cells of 3x3 pixels, computed from the complete arrays."""
    height, width = (length // 3 for length in scene.optical.shape[1:])
    means = scene.optical[:, : height * 3, : width * 3].reshape(2, height, 3, width, 3).mean((2, 4))
    return np.asarray((means[0] > BLUE) & (means[1] > SHORTWAVE))


@pytest.mark.parametrize("margin", [0, 32])
@pytest.mark.parametrize("length", [1, 255, 256, 257, 448, 449, 3660])
def test_cores_of_tiles_cover_an_axis_once(length: int, margin: int) -> None:
    spans = coarse_mask._spans(length, margin)
    covered = np.concatenate([np.arange(span.core.start, span.core.stop) for span in spans])
    assert np.array_equal(covered, np.arange(length))
    for span in spans:
        assert 0 <= span.start <= span.start + span.length <= length
        assert span.length <= coarse_mask.TILE
        first, last = span.start == 0, span.start + span.length == length
        assert span.inner.start >= (0 if first else margin)
        assert span.length - span.inner.stop >= (0 if last else margin)


@pytest.mark.parametrize(
    ("grid", "side"),
    [
        (GeoGrid("EPSG:32633", (10, 0, 500_000, 0, -10, 5_000_000), 10, 10), 3),
        (GeoGrid("EPSG:32633", (20, 0, 500_000, 0, -20, 5_000_000), 10, 10), 2),
        (GeoGrid("EPSG:32633", (30, 0, 500_000, 0, -30, 5_000_000), 10, 10), 1),
        (GeoGrid("EPSG:32633", (100, 0, 500_000, 0, -100, 5_000_000), 10, 10), 1),
        (GeoGrid("EPSG:4326", (9e-5, 0, -60, 0, -9e-5, 0), 10, 10), 3),
        (GeoGrid(None, (1, 0, 0, 0, 1, 0), 10, 10), 3),
    ],
)
def test_cells_are_about_30_m_wide(grid: GeoGrid, side: int) -> None:
    assert cell_side(grid) == side


@pytest.mark.parametrize("threads", [1, 3])
def test_search_in_tiles_equals_the_search_in_one_piece(threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coarse_mask, "TILE", 16)
    monkeypatch.setattr(coarse_mask, "_MAX_SIDE", 24)
    scene = optical_scene(300, 207)
    mask = find_clouds(scene, BRIGHT, complete(scene), threads=threads)
    assert 0.1 < mask.cells.mean() < 0.9
    assert np.array_equal(mask.cells, expected_cells(scene))


def test_context_of_a_tile_is_used_and_the_margin_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    @dataclass(frozen=True)
    class Neighbours:
        """Detector that needs 2 cells of context."""

        bands: tuple[str, ...] = BRIGHT.bands
        margin: int = 2

        def clouds(self, reflectance: NDArray[np.float32]) -> NDArray[np.bool_]:
            blue = np.pad(reflectance[0], 2, mode="edge")
            return np.asarray(blue[4:, 2:-2] + blue[:-4, 2:-2] + blue[2:-2, 4:] + blue[2:-2, :-4] > 1)

    scene = optical_scene(240, 240)
    once = find_clouds(scene, Neighbours(), complete(scene), threads=1)
    monkeypatch.setattr(coarse_mask, "TILE", 16)
    assert np.array_equal(find_clouds(scene, Neighbours(), complete(scene), threads=2).cells, once.cells)


def test_windows_are_bounded_whatever_the_pixel_size(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[Window] = []
    scene = optical_scene(1500, 1200)
    scene.before_read = read.append
    for side in (3, 100):
        monkeypatch.setattr(coarse_mask, "cell_side", lambda grid, side=side: side)
        find_clouds(scene, BRIGHT, complete(scene), threads=1)
    assert max(max(window.height, window.width) for window in read) <= 1024


def test_only_the_area_is_read_and_other_pixels_are_clear() -> None:
    read: list[Window] = []
    scene = optical_scene(120, 120)
    scene.optical[:] = 0.5
    scene.before_read = read.append
    area = Window(31, 40, 50, 61)
    mask = find_clouds(scene, BRIGHT, area, threads=1)
    assert read == [area]
    expected = np.zeros((120, 120), np.bool_)
    expected[31:81, 40:101] = True
    assert np.array_equal(mask.read(complete(scene)), expected)
    part = Window(20, 90, 30, 30)
    assert np.array_equal(mask.read(part), expected[20:50, 90:120])


def test_cells_are_means_of_their_valid_pixels() -> None:
    scene = optical_scene(9, 9)
    scene.optical[:] = 0.5
    scene.optical_valid[:] = False
    scene.optical_valid[2, 2] = True
    scene.optical_valid[3:5, 3:5] = True
    scene.optical[:, 3, 3:5] = 0
    scene.optical[:, 3:5, 3] = 0
    cells = find_clouds(scene, BRIGHT, complete(scene), threads=1).cells
    assert cells.astype(int).tolist() == [[1, 0, 0], [0, 0, 0], [0, 0, 0]]


def test_report_adds_up_to_the_area_and_pixels_are_those_of_their_cell() -> None:
    done: list[int] = []
    scene = optical_scene(300, 300)
    find_clouds(scene, BRIGHT, complete(scene), threads=1, report=done.append)
    assert sum(done) == 300 * 300
    cells = np.array([[True, False], [False, True]])
    pixels = CoarseMask(cells, 2, Window(0, 0, 4, 3)).read(Window(0, 0, 4, 4))
    assert pixels.astype(int).tolist() == [[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 1, 0]]


def test_an_error_ends_the_search(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coarse_mask, "TILE", 16)
    read: list[Window] = []
    scene = optical_scene(480, 480)

    def fail(window: Window) -> None:
        read.append(window)
        time.sleep(0.01 * (len(read) > 1))  # the error ends the search before the last tile
        raise DataError("a file cannot be read")

    scene.before_read = fail
    with pytest.raises(DataError, match="a file cannot be read"):
        find_clouds(scene, BRIGHT, complete(scene), threads=1)
    assert len(read) < 100
