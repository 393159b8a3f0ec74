"""Tests of the text of stored numbers, which can be typed back."""

import numpy as np
import pytest

from floodseg.raster.sample import stored_text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (np.finfo(np.float32).min, "-3.4028235e+38"),
        (np.finfo(np.float64).min, "-1.7976931348623157e+308"),
        (np.float64(np.finfo(np.float32).min), "-3.4028234663852886e+38"),
        (np.int16(-9999), "-9999"),
        (np.float32(-9999), "-9999"),
        (np.float32(0.1), "0.1"),
        (np.float32(1e20), "1e+20"),
    ],
)
def test_text_reads_back_as_the_same_number(value: np.generic, text: str) -> None:
    assert stored_text(value) == text
    assert type(value)(text) == value
