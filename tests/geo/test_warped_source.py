"""Tests of sources on a target grid: parts of a window equal the complete image."""

import numpy as np
import pytest

from floodseg.geo import warped_source
from floodseg.geo.grid import GeoGrid, Window
from floodseg.geo.resampling import Block
from floodseg.geo.warped_source import Method, WarpedSource

TARGET = GeoGrid("EPSG:32633", (10.0, 0.0, 500_000.0, 0.0, -10.0, 5_000_000.0), 90, 120)
SOURCES = {
    "degrees": GeoGrid("EPSG:4326", (0.0003, 0.0, 14.9995, 0.0, -0.0003, 45.1535), 20, 60),
    "rotated": GeoGrid("EPSG:32633", (3.0, 4.0, 500_100.0, 4.0, -3.0, 4_999_500.0), 150, 170),
    "parallel": GeoGrid("EPSG:32633", (4.0, 0.0, 500_103.0, 0.0, -4.0, 4_999_904.0), 200, 250),
}


@pytest.mark.parametrize("limit", ["_TILE", "_MAX_READ"])
@pytest.mark.parametrize("method", ["nearest", "mean", "power"])
@pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES)
def test_parts_equal_the_complete_image(
    source: GeoGrid, method: Method, limit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(size=(2, source.height, source.width)).astype(np.float32)
    missing, fill = rng.random((2, source.height, source.width)) < 0.05
    values[:, missing] = 0
    read: list[Window] = []

    def read_source(window: Window) -> Block:
        read.append(window)
        part = slice(window.top, window.top + window.height), slice(window.left, window.left + window.width)
        return Block(values[:, *part].copy(), missing[part].copy(), (fill & ~missing)[part].copy())

    warped = WarpedSource(source, TARGET, 2, read_source, method)
    complete = warped.read(Window(0, 0, 90, 120))
    assert len(read) == 1
    assert 0.1 < complete.missing.mean() < 0.9
    monkeypatch.setattr(warped_source, limit, {"_TILE": 25, "_MAX_READ": 900}[limit])
    parts = warped.read(Window(0, 0, 90, 120))
    assert len(read) > 4 or (limit == "_TILE" and warped.pixel_map.parallel)
    for found, expected in ((parts.values, complete.values), (parts.missing, complete.missing),
                            (parts.fill, complete.fill)):  # fmt: skip
        np.testing.assert_array_equal(found, expected)
