"""Bit mask in a file: writing and reading in any order."""

from contextlib import closing

import numpy as np
import pytest

from floodseg.inference.earlier_water import BitMaskFile


@pytest.mark.parametrize("width", [1, 7, 8, 9, 250])
def test_rows_written_in_any_order_are_read_back(width):
    mask = np.random.default_rng(width).random((23, width)) > 0.5
    with closing(BitMaskFile(23, width)) as bits:
        for top, stop in ((10, 23), (0, 3), (3, 10)):
            bits.write(top, mask[top:stop])
        for top, rows in ((0, 23), (5, 1), (2, 12), (22, 1)):
            np.testing.assert_array_equal(bits.read(top, rows), mask[top : top + rows])


def test_rows_that_were_not_written_are_false():
    with closing(BitMaskFile(5, 11)) as bits:
        bits.write(2, np.ones((1, 11), np.bool_))
        assert bits.read(0, 5).sum(axis=1).tolist() == [0, 0, 11, 0, 0]
