"""Tests of the search for zeros that are connected to the edge of an image."""

from typing import Any

import numpy as np
import pytest

from floodseg.geo.grid import Window
from floodseg.raster import edge_zeros
from floodseg.raster.edge_zeros import EdgeZeros

Array = np.ndarray[Any, Any]


def connected(bands: Array) -> EdgeZeros:
    return EdgeZeros(lambda top, rows: bands[:, top : top + rows], *bands.shape[1:])


def by_growth(zeros: Array) -> Array:
    """Return the zeros that are connected to the edge, grown pixel by pixel."""
    reached = zeros.copy()
    reached[1:-1, 1:-1] = False
    while True:
        grown = reached.copy()
        for axis, step in ((0, 1), (0, -1), (1, 1), (1, -1)):
            moved = np.roll(reached, step, axis)
            border = [slice(None), slice(None)]
            border[axis] = slice(0, 1) if step == 1 else slice(-1, None)
            moved[tuple(border)] = False
            grown |= moved & zeros
        if (grown == reached).all():
            return reached
        reached = grown


@pytest.mark.parametrize("strip_rows", [1, 5, 256])
@pytest.mark.parametrize("seed", [0, 1])
def test_zeros_equal_those_grown_from_the_edge(seed: int, strip_rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(edge_zeros, "_STRIP_ROWS", strip_rows)
    rng = np.random.default_rng(seed)
    zeros = rng.random((23, 37)) < 0.55
    bands = np.where(zeros, 0, rng.integers(1, 9, (2, 23, 37))).astype(np.uint8)
    expected = by_growth(zeros)
    found = connected(bands)
    assert 0 < expected.sum() < zeros.sum()
    np.testing.assert_array_equal(found.inside(Window(0, 0, 23, 37)), expected)
    np.testing.assert_array_equal(found.inside(Window(5, 9, 11, 13)), expected[5:16, 9:22])


def test_a_spiral_is_followed_to_its_end() -> None:
    spiral = np.array([[1, 0, 1, 1, 1, 1, 1],
                       [1, 0, 1, 0, 0, 0, 1],
                       [1, 0, 1, 0, 1, 0, 1],
                       [1, 0, 1, 1, 1, 0, 1],
                       [1, 0, 0, 0, 0, 0, 1],
                       [1, 1, 1, 1, 1, 1, 1]])  # fmt: skip
    np.testing.assert_array_equal(connected(spiral[None]).inside(Window(0, 0, 6, 7)), spiral == 0)


def test_a_zero_in_one_band_only_is_no_zero() -> None:
    bands = np.ones((2, 5, 6), np.uint8)
    bands[0, :, 0] = 0
    assert not connected(bands).inside(Window(0, 0, 5, 6)).any()
