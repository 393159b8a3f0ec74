"""Rules of classification and their priority."""

import numpy as np

from floodseg.products.classify import classify
from floodseg.products.strips import ProbabilityStrip
from floodseg.scene.scene import LayerWindow

THRESHOLDS = np.array([0.9, 0.4, 0.6, 0.5], np.float32)
"""By validity code; that of code 0 is unused."""


def classes_of(
    probability: list[float],
    validity: list[int],
    *,
    outside: tuple[int, ...] = (),
    excluded: tuple[int, ...] = (),
    permanent: tuple[int, ...] = (),
    before: tuple[int, ...] | None = None,
) -> tuple[list[int], list[int]]:
    """Return classes and percent of one row; layers are lists of the columns that they mark."""

    def marked(columns: tuple[int, ...]) -> np.ndarray:
        return np.isin(np.arange(len(probability)), columns)[None]

    codes = np.array([validity], np.uint8)
    strip = ProbabilityStrip(7, np.array([probability], np.float32), codes, np.zeros_like(codes))
    layers = LayerWindow(~marked(outside), marked(excluded), marked(permanent))
    product = classify(strip, layers, THRESHOLDS, None if before is None else marked(before))
    assert product.top == 7
    assert product.classes.dtype == product.percent.dtype == np.uint8
    return product.classes[0].tolist(), product.percent[0].tolist()


def test_threshold_depends_on_the_valid_sensors():
    classes, _ = classes_of([0.45, 0.45, 0.45, 0.55, 0.65, 0.95], [1, 2, 3, 3, 2, 0])
    assert classes == [1, 0, 0, 1, 1, 255]


def test_threshold_is_inclusive_and_applies_before_rounding():
    just_below = float(np.nextafter(np.float32(0.4), np.float32(0)))
    classes, percent = classes_of([float(THRESHOLDS[1]), just_below], [1, 1])
    assert (classes, percent) == ([1, 0], [40, 40])


def test_percent_is_rounded_and_nodata_where_invalid():
    _, percent = classes_of([0.0, 0.004, 0.996, 1.0, 0.7, 0.7], [1, 1, 1, 1, 0, 1], outside=(5,))
    assert percent == [0, 0, 100, 100, 255, 255]


def test_permanent_water_layer_overrides_the_model():
    classes, percent = classes_of([0.1, 0.9, 0.9], [1, 1, 1], permanent=(0, 1))
    assert (classes, percent) == ([2, 2, 1], [10, 90, 90])


def test_earlier_water_is_permanent_only_if_it_is_still_water():
    classes, _ = classes_of([0.9, 0.1, 0.9], [1, 1, 1], before=(0, 1))
    assert classes == [2, 0, 1]


def test_nodata_overrides_excluded_and_excluded_overrides_permanent_water():
    classes, _ = classes_of(
        [0.9, 0.9, 0.9, 0.9], [1, 1, 0, 1], outside=(3,), excluded=(0, 1, 2, 3), permanent=(1, 2, 3), before=(0,)
    )
    assert classes == [3, 3, 255, 255]
