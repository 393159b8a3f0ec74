"""Polygons traced strip by strip, compared with GDAL's polygons of the full image."""

import numpy as np
import pytest
import rasterio.features
import shapely
from numpy.typing import NDArray

from floodseg.geo.grid import GeoGrid
from floodseg.products.geopackage import georeferenced
from floodseg.products.outlines import OutlineTracer
from floodseg.products.strips import row_spans

Found = set[tuple[int, str]]
NORTH_UP = (1.0, 0.0, 0.0, 0.0, -1.0, 0.0)


def traced(classes: NDArray[np.uint8], rows: int) -> tuple[NDArray[np.object_], NDArray[np.uint8], NDArray[np.float64]]:
    """Trace strips of ``rows`` rows. Return polygons, codes and numbers of pixels."""
    height, width = classes.shape
    tracer = OutlineTracer(width, sums=1)
    parts = [
        tracer.trace(top, classes[top : top + count], [np.ones((count, width))])
        for top, count in row_spans(height, rows)
    ]
    parts.append(tracer.finish(height))
    grid = GeoGrid(None, NORTH_UP, height, width)
    shapes = np.concatenate([georeferenced(part, grid) for part in parts])
    return shapes, np.concatenate([part.classes for part in parts]), np.concatenate([part.sums for part in parts])[:, 0]


def as_set(shapes: NDArray[np.object_], codes: NDArray[np.uint8]) -> Found:
    texts = shapely.to_wkt(shapely.normalize(shapes), rounding_precision=1)
    return set(zip(codes.tolist(), texts.tolist(), strict=True))


def gdal_polygons(classes: NDArray[np.uint8]) -> Found:
    north_up = rasterio.Affine(1, 0, 0, 0, -1, 0)
    found = list(rasterio.features.shapes(classes, mask=np.isin(classes, (1, 2)), connectivity=4, transform=north_up))
    shapes = np.array([shapely.geometry.shape(shape) for shape, _ in found], dtype=object)
    return as_set(shapes, np.array([code for _, code in found], dtype=np.uint8))


def noise(shape: tuple[int, int], share: float, seed: int = 0) -> NDArray[np.uint8]:
    """Draw random codes; ``share`` of the pixels is water."""
    codes = np.array([0, 1, 2, 3, 255], dtype=np.uint8)
    odds = [(1 - share) * 0.6, share * 0.7, share * 0.3, (1 - share) * 0.2, (1 - share) * 0.2]
    return np.random.default_rng(seed).choice(codes, shape, p=odds)


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1), (8, 7), (40, 50)])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
def test_polygons_equal_those_of_gdal_for_any_strips(shape: tuple[int, int], share: float) -> None:
    classes = noise(shape, share)
    expected = gdal_polygons(classes)
    for rows in (1, 2, 5, 16, 100):
        shapes, codes, _ = traced(classes, rows)
        assert len(shapes) == len(expected)
        assert as_set(shapes, codes) == expected


@pytest.mark.parametrize("share", [0.3, 0.5, 0.7])
def test_polygons_are_valid_and_count_their_pixels(share: float) -> None:
    shapes, codes, pixels = traced(noise((120, 90), share, seed=1), 16)
    assert shapely.is_valid(shapes).all()
    assert shapely.is_ccw(shapely.get_exterior_ring(shapes)).all()
    np.testing.assert_array_equal(shapely.area(shapes), pixels)
    assert set(codes) == {1, 2}


def test_hole_that_touches_the_outside_at_a_corner_is_a_hole() -> None:
    classes = np.array([[1, 1, 1], [1, 0, 1], [1, 1, 0]], dtype=np.uint8)
    for rows in (1, 2, 3):
        (shape,), _, pixels = traced(classes, rows)
        assert shape.is_valid
        assert len(shape.interiors) == 1
        assert shape.area == pixels[0] == 7
        # 6 corners and the closing one, none at strip borders
        assert len(shape.exterior.coords) == 7


def test_ring_over_many_strips_has_its_hole_and_island() -> None:
    classes = np.zeros((60, 30), dtype=np.uint8)
    classes[2:58, 3:27] = 1
    classes[10:50, 6:24] = 0
    classes[20:40, 10:20] = 1
    shapes, _, _ = traced(classes, 7)
    outer, island = sorted(shapes, key=shapely.area, reverse=True)
    assert outer.area == 56 * 24 - 40 * 18
    assert len(outer.interiors) == 1
    assert island.area == 200
    assert len(island.exterior.coords) == 5


def test_complete_patches_are_released() -> None:
    tracer = OutlineTracer(64, sums=1)
    row = np.zeros((16, 64), dtype=np.uint8)
    row[3:6, 5:9] = 1
    ones = [np.ones((16, 64))]
    for strip in range(50):
        assert len(tracer.trace(16 * strip, row, ones).classes) == 1
        assert not tracer._segments
        assert len(tracer._open.classes) == 1
