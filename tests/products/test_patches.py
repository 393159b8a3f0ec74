"""Speck filter: the same result for any strips."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from floodseg.geo.footprints import PixelAreas, measure_pixel_areas
from floodseg.geo.grid import GeoGrid
from floodseg.products.patches import SpeckFilter
from floodseg.products.strips import row_spans

PIXEL = (10.0, 0.0, 500_000.0, 0.0, -10.0, 5_000_000.0)


def footprints(shape: tuple[int, int]) -> PixelAreas:
    found = measure_pixel_areas(GeoGrid("EPSG:32633", PIXEL, *shape))
    assert found is not None
    return found


def without_specks(classes: NDArray[np.uint8], min_area: float, rows: int) -> tuple[NDArray[np.uint8], int]:
    specks = SpeckFilter(min_area, footprints(classes.shape))
    spans = list(row_spans(len(classes), rows))
    first = [specks.first_pass(top, classes[top : top + count]) for top, count in spans]
    specks.merge_strips()
    second = [specks.second_pass(top, strip) for (top, _), strip in zip(spans, first, strict=True)]
    return np.concatenate(second), specks.removed


def filter_in_memory(classes: NDArray[np.uint8], min_area: float) -> tuple[NDArray[np.uint8], int]:
    """Filter the full image patch by patch."""
    areas = footprints(classes.shape).rows(0, len(classes))
    result, removed = classes.copy(), 0
    for code in (1, 2):
        labels, count = ndimage.label(classes == code)
        for number in range(1, count + 1):
            if areas[labels == number].sum() < min_area:
                result[labels == number] = 0
                removed += 1
    return result, removed


@pytest.mark.parametrize("share", [0.3, 0.5, 0.65])
@pytest.mark.parametrize("min_area", [150.0, 1000.0, 1e9])
def test_result_does_not_depend_on_the_strips(share: float, min_area: float) -> None:
    random = np.random.default_rng(3)
    classes = np.where(random.random((50, 40)) < share, random.choice([1, 1, 2], (50, 40)), 0).astype(np.uint8)
    classes[random.random(classes.shape) < 0.05] = 255
    expected, removed = filter_in_memory(classes, min_area)
    for rows in (1, 2, 7, 16, 64):
        found, number = without_specks(classes, min_area, rows)
        np.testing.assert_array_equal(found, expected)
        assert number == removed


def test_area_of_flood_excludes_adjacent_permanent_water() -> None:
    classes = np.zeros((6, 12), dtype=np.uint8)
    classes[2, 1:4] = 1
    classes[2, 4:11] = 2
    found, removed = without_specks(classes, 500, rows=3)
    assert removed == 1
    assert not (found == 1).any()
    assert (found == 2).sum() == 7


def test_patch_of_exactly_min_area_is_kept() -> None:
    classes = np.zeros((4, 4), dtype=np.uint8)
    classes[1, 1:3] = 1
    area = float(footprints((4, 4)).rows(0, 4)[1, 1:3].sum())
    assert area == pytest.approx(200 / 0.9996**2, rel=1e-6)
    assert (without_specks(classes, area - 1e-3, 2)[0] == 1).sum() == 2
    assert (without_specks(classes, area + 1e-3, 2)[0] == 1).sum() == 0
