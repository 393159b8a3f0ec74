"""Paired differences against values by hand."""

import numpy as np
import pytest

from floodseg.evaluation.metrics.bootstrap import Pair, paired_difference
from floodseg.evaluation.metrics.counts import Counts


def test_difference_of_two_maps_by_hand() -> None:
    # in total: intersection 30 and union 50, against 20 and 50
    pairs = [
        Pair("a", Counts(tp=10, fp=5, fn=5, tn=80), Counts(tp=10, fp=10, fn=5, tn=75)),
        Pair("b", Counts(tp=20, fp=5, fn=5, tn=70), Counts(tp=10, fp=0, fn=15, tn=75)),
        Pair("without a label", Counts(), Counts()),
    ]
    found = paired_difference(pairs)
    assert found is not None
    assert found.difference == pytest.approx(30 / 50 - 20 / 50)
    assert (found.n_chips, found.n_pixels) == (2, 200)
    # two chips: a draw is twice a (10/20 - 10/25 = 0.1), twice b (20/30 - 10/25 = 0.267), or one of each (0.2)
    assert found.ci95 == pytest.approx([0.1, 20 / 30 - 10 / 25])
    assert paired_difference(pairs[::-1]) == found


def test_a_map_does_not_differ_from_itself() -> None:
    counts = [Counts(tp=n, fp=2 * n % 7, fn=n % 3, tn=50) for n in range(1, 20)]
    found = paired_difference([Pair(str(n), each, each) for n, each in enumerate(counts)])
    assert found is not None
    assert (found.difference, found.ci95) == (0.0, [0.0, 0.0])


def test_a_constant_gain_has_a_narrow_interval() -> None:
    rng = np.random.default_rng(0)
    pairs = []
    for n in range(30):
        hit = int(rng.integers(20, 900))
        first, second = Counts(tp=hit, fn=1000 - hit), Counts(tp=hit - 10, fn=1010 - hit)
        pairs.append(Pair(str(n), first, second))
    found = paired_difference(pairs)
    assert found is not None
    # the scores themselves vary by far more over draws
    assert found.ci95 == pytest.approx([0.01, 0.01], abs=1e-9)


def test_difference_is_none_if_a_map_has_no_score() -> None:
    assert paired_difference([]) is None
    assert paired_difference([Pair("dry", Counts(tn=9), Counts(tn=9))]) is None
    assert paired_difference([Pair("dry in one", Counts(tn=9), Counts(fp=1, tn=8))]) is None
