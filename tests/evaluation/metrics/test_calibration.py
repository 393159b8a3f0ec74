import math
import time

import pytest
import torch

from floodseg.errors import FloodsegError
from floodseg.evaluation.metrics.calibration import N_BINS, LogitDifferenceHistogram
from floodseg.evaluation.metrics.counts import count


def histogram_of(difference, label, counted=None):
    histogram = LogitDifferenceHistogram()
    histogram.add(difference, label, torch.ones_like(label, dtype=torch.bool) if counted is None else counted)
    return histogram


def random_pixels(seed, n=20_000, shift=1.0):
    generator = torch.Generator().manual_seed(seed)
    label = (torch.rand(n, generator=generator) < 0.3).to(torch.uint8)
    difference = torch.randn(n, generator=generator) * 2 + torch.where(label == 1, shift, -2.0)
    return difference, label


def calibrated_pixels(temperature, n=400_000):
    """Logit differences with a known temperature T: labels are drawn with probability sigmoid(difference / T)."""
    generator = torch.Generator().manual_seed(11)
    z = torch.randn(n, generator=generator, dtype=torch.float64) * 2 - 0.5
    label = (torch.rand(n, generator=generator, dtype=torch.float64) < torch.sigmoid(z)).to(torch.uint8)
    return (z * temperature).float(), label


def best_by_brute_force(difference, label):
    """The best water IoU with each logit difference as the lower bound of water."""
    order = difference.argsort(descending=True)
    hits = (label[order] == 1).cumsum(0).double()
    false = (label[order] == 0).cumsum(0).double()
    last_of_equals = torch.ones_like(hits, dtype=torch.bool)
    last_of_equals[:-1] = difference[order].diff() != 0
    return (hits / (int((label == 1).sum()) + false))[last_of_equals].max().item()


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("temperature", [0.7, 1.0, 2.5])
def test_best_threshold_is_optimal_and_reproduces_its_counts(seed, temperature):
    difference, label = random_pixels(seed)
    difference = (difference * 100).round() / 100  # on bin edges, where the comparison is hardest
    histogram = histogram_of(difference, label)
    threshold, iou = histogram.best_threshold(temperature)
    assert iou == pytest.approx(best_by_brute_force(difference, label), abs=1e-12)
    probability = torch.sigmoid(difference / temperature)
    counts = count(probability >= threshold, label, torch.ones_like(label, dtype=torch.bool))
    assert counts.water_iou == iou
    assert histogram.counts_at(threshold, temperature) == counts
    softmax = torch.softmax(torch.stack((torch.zeros_like(difference), difference / temperature)), dim=0)[1]
    assert count(softmax >= threshold, label, torch.ones_like(label, dtype=torch.bool)) == counts


def test_best_threshold_between_bin_edges_is_nearly_optimal():
    difference, label = random_pixels(7)
    histogram = histogram_of(difference, label)
    threshold, iou = histogram.best_threshold()
    exact = best_by_brute_force(difference, label)
    assert exact - 1e-3 < iou <= exact
    counted = torch.ones_like(label, dtype=torch.bool)
    assert count(torch.sigmoid(difference) >= threshold, label, counted).water_iou == pytest.approx(iou, abs=1e-12)


def test_best_threshold_is_in_the_middle_of_the_longest_run():
    difference = torch.tensor([-3.0, -1.0, 2.0, 4.0])
    label = torch.tensor([0, 0, 1, 1], dtype=torch.uint8)
    threshold, iou = histogram_of(difference, label).best_threshold()
    assert iou == 1.0
    assert math.log(threshold / (1 - threshold)) == pytest.approx(0.5, abs=0.011)


def test_logit_difference_at_the_chosen_edge_is_water():
    edges = (torch.arange(-900, 901).double() / 100).float()
    for difference in (edges, torch.nextafter(edges, torch.tensor(99.0))):
        bins = histogram_of(difference, torch.ones_like(difference, dtype=torch.uint8)).water
        assert bins.nonzero()[0].tolist() == list(range(1100, 2901))
    below = torch.nextafter(edges, torch.tensor(-99.0))
    bins = histogram_of(below, torch.ones_like(below, dtype=torch.uint8)).water
    assert bins.nonzero()[0].tolist() == list(range(1099, 2900))


def test_one_class_only_keeps_the_defaults():
    difference = torch.tensor([-1.0, 1.0, 2.0])
    land = histogram_of(difference, torch.zeros(3, dtype=torch.uint8))
    assert land.best_threshold() == (0.5, 0.0)
    assert land.fit_temperature() == 1.0
    assert land.fit_offset() == 0.0
    water = histogram_of(difference, torch.ones(3, dtype=torch.uint8))
    assert water.best_threshold() == (0.5, 2 / 3)
    assert water.fit_temperature() == 1.0
    assert LogitDifferenceHistogram().best_threshold() == (0.5, None)
    assert LogitDifferenceHistogram().nll(1.0) is None


def test_counts_at_the_ends():
    histogram = histogram_of(*random_pixels(0, n=100))
    assert histogram.counts_at(0.0).tn == histogram.counts_at(0.0).fn == 0
    assert histogram.counts_at(1.0).tp == histogram.counts_at(1.0).fp == 0
    assert histogram.counts_at(0.5, 3.0) == histogram.counts_at(0.5)


@pytest.mark.parametrize("temperature", [0.3, 1.0, 1.7, 4.0])
def test_temperature_recovers_a_known_scaling(temperature):
    histogram = histogram_of(*calibrated_pixels(temperature))
    fitted = histogram.fit_temperature()
    assert fitted == pytest.approx(temperature, rel=0.02)
    assert histogram.nll(fitted) <= min(histogram.nll(fitted * 0.97), histogram.nll(fitted * 1.03))


@pytest.mark.parametrize(("temperature", "offset"), [(1.0, 0.0), (0.5, 0.6), (1.7, -1.3)])
def test_offset_and_temperature_recover_a_known_scaling(temperature, offset):
    difference, label = calibrated_pixels(temperature)
    assert histogram_of(difference - offset, label).fit_offset() == pytest.approx(offset, abs=0.03)


def test_nll_agrees_with_binary_cross_entropy():
    difference, label = random_pixels(4)
    expected = torch.nn.functional.binary_cross_entropy_with_logits(difference.double() / 1.5, label.double())
    assert histogram_of(difference, label).nll(1.5) == pytest.approx(expected.item(), abs=1e-4)


def test_histograms_add_up():
    difference, label = random_pixels(5)
    complete = histogram_of(difference, label)
    parts = histogram_of(difference[:7000], label[:7000]) + histogram_of(difference[7000:], label[7000:])
    assert (parts.bins == complete.bins).all()
    assert (((complete + parts) - parts).bins == complete.bins).all()
    summed = complete + complete
    assert summed.best_threshold() == complete.best_threshold()
    assert summed.counts_at(0.5) == complete.counts_at(0.5) + complete.counts_at(0.5)
    assert complete.bins.shape == (2, N_BINS)
    assert complete.bins.sum() == difference.numel()


def test_ignored_and_uncounted_pixels_are_not_added():
    difference = torch.tensor([1.0, float("nan"), float("nan"), 50.0, -float("inf")])
    label = torch.tensor([1, 255, 0, 1, 0], dtype=torch.uint8)
    counted = torch.tensor([True, True, False, True, True])
    bins = histogram_of(difference, label, counted).bins
    assert bins.sum(1).tolist() == [1, 2]
    assert (bins[0, 0], bins[1, -1], bins[1, 2100]) == (1, 1, 1)


def test_nan_logit_difference_is_refused():
    with pytest.raises(FloodsegError, match="NaN"):
        histogram_of(torch.tensor([float("nan")]), torch.tensor([1], dtype=torch.uint8))


def test_a_chip_is_added_fast():
    difference, label = random_pixels(6, n=512 * 512)
    difference, label = difference.view(512, 512), label.view(512, 512)
    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        histogram_of(difference, label)
        seconds.append(time.perf_counter() - start)
    assert min(seconds) < 0.5  # 0.02 on one idle core
