"""Averages, medians and stored numbers of mosaics."""

import numpy as np
import pytest

from floodseg.geo.resampling import Block
from floodseg.workflows.mosaic import first_valid, mean_power, median_power, stored_reflectance


def block(*rows: list[float]) -> Block:
    """Return a block of bands of one row; NaN is missing."""
    values = np.array(rows, np.float32)[:, None, :]
    missing = np.isnan(values).any(axis=0)
    return Block(np.nan_to_num(values), missing, np.zeros_like(missing))


def test_overlaps_are_averaged_in_linear_power() -> None:
    one, two, three = (block([value], [value - 7]) for value in (-10.0, -20.0, -13.0))
    expected = 10 * np.log10((0.1 + 0.01 + 10**-1.3) / 3)
    assert mean_power([one, two, three])[:, 0, 0] == pytest.approx([expected, expected - 7], abs=1e-5)


def test_pixel_of_one_image_is_unchanged_bit_for_bit() -> None:
    values = [-10.123456, -17.654321]
    result = mean_power([block(values), block([np.nan, np.nan])])
    assert (result[0, 0] == np.array(values, np.float32)).all()


def test_pixel_of_no_image_is_nan() -> None:
    assert np.isnan(mean_power([block([np.nan]), block([np.nan])])).all()


def test_first_valid_image_is_taken() -> None:
    result = first_valid([block([np.nan, 0.2, np.nan]), block([0.5, 0.6, np.nan])])
    np.testing.assert_array_equal(result[0, 0], np.array([0.5, 0.2, np.nan], np.float32))


def test_filled_pixel_is_invalid() -> None:
    filled = Block(np.zeros((1, 1, 1), np.float32), np.zeros((1, 1), np.bool_), np.ones((1, 1), np.bool_))
    assert np.isnan(mean_power([filled])).all()


def test_median_is_that_of_linear_power_and_needs_enough_dates() -> None:
    rng = np.random.default_rng(0)
    dates = [rng.normal(-12, 3, (2, 4, 5)).astype(np.float32) for _ in range(4)]
    dates[0][:, 0, 0] = np.nan  # three dates are left
    dates[1][0, 1, 1] = dates[2][1, 1, 1] = np.nan  # two dates are left: a date needs both polarisations
    result = median_power(dates, 3)
    assert np.isnan(result[:, 1, 1]).all()
    powers = 10 ** (np.stack(dates).astype(np.float64) / 10)
    expected = 10 * np.log10(np.nanmedian(powers, axis=0))
    expected[:, 1, 1] = np.nan
    np.testing.assert_allclose(result, expected, atol=1e-5)


def test_stored_reflectance() -> None:
    values = np.array([[0.1234, -0.0999, -0.2, 7.0, np.nan]], np.float32)
    assert stored_reflectance(values).tolist() == [[2234, 1, 1, 65535, 0]]
