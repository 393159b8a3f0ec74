import json

import numpy as np
import pytest
import torch
from torchmetrics.functional.classification import (
    binary_accuracy,
    binary_calibration_error,
    binary_f1_score,
    binary_jaccard_index,
    binary_precision,
    binary_recall,
    multiclass_confusion_matrix,
    multiclass_jaccard_index,
)

from floodseg.evaluation.metrics.counts import ChipScore, Counts, ReliabilityBins, count, score_chips, score_events


@pytest.fixture
def pixels():
    """Probability, prediction, label with ignored pixels, and the mask of counted pixels: (3, 40, 50)."""
    generator = torch.Generator().manual_seed(3)
    probability = torch.rand(3, 40, 50, generator=generator)
    label = (torch.rand(3, 40, 50, generator=generator) < probability**2).to(torch.uint8)
    label[torch.rand(3, 40, 50, generator=generator) < 0.2] = 255
    counted = torch.rand(3, 40, 50, generator=generator) > 0.1
    return probability, probability >= 0.5, label, counted


def chip(name, tp, fp, fn, tn, event="A"):
    return ChipScore(name, event, Counts(tp, fp, fn, tn))


def test_counts_by_hand():
    water = torch.tensor([[True, True, False, False], [True, False, True, False]])
    label = torch.tensor([[1, 0, 1, 0], [255, 255, 1, 0]], dtype=torch.uint8)
    counted = torch.tensor([[True, True, True, True], [True, True, True, False]])
    counts = count(water, label, counted)
    assert counts == Counts(tp=2, fp=1, fn=1, tn=1)
    assert counts.n == 5
    assert counts.water_iou == 2 / 4
    assert counts.land_iou == 1 / 3
    assert counts.miou == pytest.approx((1 / 2 + 1 / 3) / 2)
    assert counts.f1 == 4 / 6
    assert (counts.precision, counts.recall, counts.accuracy) == (2 / 3, 2 / 3, 3 / 5)


def test_ratios_without_denominator_are_undefined():
    empty = Counts()
    names = ("water_iou", "land_iou", "miou", "f1", "precision", "recall", "accuracy")
    assert all(getattr(empty, name) is None for name in names)
    land = Counts(tn=7)
    assert (land.water_iou, land.land_iou, land.miou, land.f1, land.accuracy) == (None, 1.0, None, None, 1.0)


def test_count_agrees_with_torchmetrics(pixels):
    probability, water, label, counted = pixels
    counts = count(water, label, counted)
    target = label.long()
    target[~counted] = 255
    matrix = multiclass_confusion_matrix(water.long(), target, num_classes=2, ignore_index=255)
    assert [[counts.tn, counts.fp], [counts.fn, counts.tp]] == matrix.tolist()
    arguments = (probability, target)
    assert counts.water_iou == pytest.approx(binary_jaccard_index(*arguments, ignore_index=255).item(), abs=1e-6)
    assert counts.f1 == pytest.approx(binary_f1_score(*arguments, ignore_index=255).item(), abs=1e-6)
    assert counts.precision == pytest.approx(binary_precision(*arguments, ignore_index=255).item(), abs=1e-6)
    assert counts.recall == pytest.approx(binary_recall(*arguments, ignore_index=255).item(), abs=1e-6)
    assert counts.accuracy == pytest.approx(binary_accuracy(*arguments, ignore_index=255).item(), abs=1e-6)
    miou = multiclass_jaccard_index(water.long(), target, num_classes=2, ignore_index=255, average="macro")
    assert counts.miou == pytest.approx(miou.item(), abs=1e-6)


def test_count_of_a_batch_is_the_sum_of_its_chips(pixels):
    _, water, label, counted = pixels
    parts = [count(water[i], label[i], counted[i]) for i in range(3)]
    assert count(water, label, counted) == parts[0] + parts[1] + parts[2]


def test_uncounted_pixels_do_not_change_scores(pixels):
    _, water, label, counted = pixels
    left_out = ~counted | (label == 255)
    assert count(water ^ left_out, label, counted) == count(water, label, counted)


def test_ece_agrees_with_torchmetrics(pixels):
    probability, _, label, counted = pixels
    bins = ReliabilityBins()
    bins.add(probability, label, counted)
    keep = counted & (label != 255)
    expected = binary_calibration_error(probability[keep], label[keep].long(), n_bins=15, norm="l1")
    assert bins.ece == pytest.approx(expected.item(), abs=1e-6)
    assert bins.ece > 0.1
    assert int(bins.pixels.sum()) == int(keep.sum())


def test_reliability_by_hand_and_merged():
    first, second = ReliabilityBins(), ReliabilityBins()
    first.add(torch.tensor([0.0, 1.0]), torch.tensor([0, 1], dtype=torch.uint8), torch.tensor([True, True]))
    second.add(
        torch.tensor([0.5, float("nan"), 0.5]),
        torch.tensor([1, 255, 0], dtype=torch.uint8),
        torch.tensor([True, True, False]),
    )
    merged = first + second
    assert merged.pixels.tolist() == [1, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1]
    assert merged.water.tolist() == [0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1]
    assert merged.ece == pytest.approx(0.5 / 3)
    assert (first.ece, second.ece, ReliabilityBins().ece) == (0.0, 0.5, None)


def test_score_is_computed_from_summed_counts_and_is_plain_json():
    score = score_chips(
        [chip("a", 90, 10, 0, 0), chip("b", 1, 9, 0, 90), chip("c", 0, 0, 0, 50), chip("d", 0, 0, 0, 0)]
    )
    assert list(score) == [
        "n_chips", "n_chips_counted", "n_pixels", "water_iou", "land_iou", "miou", "f1", "precision", "recall",
        "accuracy", "water_iou_per_chip_mean", "water_iou_ci95", "ece",
    ]  # fmt: skip
    assert (score["n_chips"], score["n_chips_counted"], score["n_pixels"]) == (4, 3, 250)
    assert score["water_iou"] == 91 / 110
    assert score["water_iou_per_chip_mean"] == pytest.approx((0.9 + 0.1) / 2)
    assert score["ece"] is None
    assert json.loads(json.dumps(score, allow_nan=False)) == score


def test_score_without_counted_pixels_is_null():
    score = score_chips([chip("a", 0, 0, 0, 0)])
    assert (score["n_chips"], score["n_chips_counted"], score["n_pixels"]) == (1, 0, 0)
    assert all(value is None for name, value in score.items() if not name.startswith("n_"))
    assert score_chips([chip("a", 0, 0, 0, 9)])["water_iou_ci95"] is None


def test_score_per_event():
    chips = [chip("y_1", 1, 1, 0, 0, "Y"), chip("x_1", 1, 0, 0, 1, "X"), chip("y_2", 1, 0, 1, 0, "Y")]
    events = score_events(chips)
    assert list(events) == ["X", "Y"]
    assert (events["X"]["water_iou"], events["Y"]["water_iou"]) == (1.0, 2 / 4)
    assert events["Y"] == score_chips([chips[2], chips[0]])


def test_ece_needs_a_probability_of_every_counted_chip(pixels):
    probability, water, label, counted = pixels
    bins = []
    for i in range(2):
        bins.append(ReliabilityBins())
        bins[i].add(probability[i], label[i], counted[i])
    chips = [ChipScore(str(i), "A", count(water[i], label[i], counted[i]), bins[i]) for i in range(2)]
    assert score_chips(chips)["ece"] == (bins[0] + bins[1]).ece
    assert score_chips([*chips, chip("empty", 0, 0, 0, 0)])["ece"] == (bins[0] + bins[1]).ece
    assert score_chips([*chips, chip("otsu", 1, 0, 0, 0)])["ece"] is None


def test_bootstrap_is_seeded_and_agrees_with_a_loop():
    generator = np.random.default_rng(5)
    chips = [chip(f"c{i:02d}", *(int(v) for v in generator.integers(0, 1000, 4))) for i in range(40)]
    low, high = score_chips(chips)["water_iou_ci95"]
    assert score_chips(chips[::-1])["water_iou_ci95"] == [low, high]
    assert score_chips(chips, seed=1)["water_iou_ci95"] != [low, high]
    assert low < score_chips(chips)["water_iou"] < high
    draws = []
    for _ in range(1000):
        total = Counts()
        for index in generator.integers(0, 40, 40):
            total += chips[index].counts
        draws.append(total.water_iou)
    assert [low, high] == pytest.approx(np.percentile(draws, [2.5, 97.5]).tolist(), abs=0.01)


@pytest.mark.parametrize("other", [(0, 0, 0, 0), (0, 0, 0, 9)])
def test_one_chip_with_water_has_no_interval(other):
    score = score_chips([chip("a", 1, 1, 0, 5), chip("dry", *other)])
    assert (score["water_iou"], score["water_iou_ci95"]) == (0.5, None)
