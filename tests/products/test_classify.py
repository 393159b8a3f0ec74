"""From probability to classes: every rule, and which one wins, by hand."""

import numpy as np

from floodseg.products.classify import classify
from floodseg.products.strips import ProbabilityStrip
from floodseg.scene.scene import LayerWindow

THRESHOLDS = np.array([0.9, 0.4, 0.6, 0.5], np.float32)
"""By validity code; that of code 0 is never asked."""


def classes_of(
    probability: list[float],
    validity: list[int],
    *,
    outside: tuple[int, ...] = (),
    excluded: tuple[int, ...] = (),
    permanent: tuple[int, ...] = (),
    before: tuple[int, ...] | None = None,
) -> tuple[list[int], list[int]]:
    """Return classes and percent of one row; the layers are given by the columns that they mark."""

    def marked(columns: tuple[int, ...]) -> np.ndarray:
        return np.isin(np.arange(len(probability)), columns)[None]

    strip = ProbabilityStrip(7, np.array([probability], np.float32), np.array([validity], np.uint8))
    layers = LayerWindow(~marked(outside), marked(excluded), marked(permanent))
    product = classify(strip, layers, THRESHOLDS, None if before is None else marked(before))
    assert product.top == 7
    assert product.classes.dtype == product.percent.dtype == np.uint8
    return product.classes[0].tolist(), product.percent[0].tolist()


def test_each_pixel_is_decided_by_the_threshold_of_what_is_valid_there():
    classes, _ = classes_of([0.45, 0.45, 0.45, 0.55, 0.65, 0.95], [1, 2, 3, 3, 2, 0])
    assert classes == [1, 0, 0, 1, 1, 255]


def test_water_begins_at_the_threshold_itself_and_before_rounding_to_percent():
    just_below = float(np.nextafter(np.float32(0.4), np.float32(0)))
    classes, percent = classes_of([float(THRESHOLDS[1]), just_below], [1, 1])
    assert (classes, percent) == ([1, 0], [40, 40])


def test_percent_rounds_to_the_nearest_and_is_nodata_where_nothing_is_seen():
    _, percent = classes_of([0.0, 0.004, 0.996, 1.0, 0.7, 0.7], [1, 1, 1, 1, 0, 1], outside=(5,))
    assert percent == [0, 0, 100, 100, 255, 255]


def test_permanent_water_is_there_also_where_the_model_misses_it():
    classes, percent = classes_of([0.1, 0.9, 0.9], [1, 1, 1], permanent=(0, 1))
    assert (classes, percent) == ([2, 2, 1], [10, 90, 90])


def test_water_of_before_is_permanent_where_there_is_water_now_and_land_where_it_has_gone():
    classes, _ = classes_of([0.9, 0.1, 0.9], [1, 1, 1], before=(0, 1))
    assert classes == [2, 0, 1]


def test_nodata_wins_over_excluded_and_excluded_over_permanent_water():
    classes, _ = classes_of(
        [0.9, 0.9, 0.9, 0.9], [1, 1, 0, 1], outside=(3,), excluded=(0, 1, 2, 3), permanent=(1, 2, 3), before=(0,)
    )
    assert classes == [3, 3, 255, 255]
