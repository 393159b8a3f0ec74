import pytest
import torch
from torch import nn

from floodseg.bands import Bands
from floodseg.distributed.processes import Processes
from floodseg.evaluation.forward import counted_pixels, forward
from floodseg.evaluation.metrics.counts import Counts
from floodseg.evaluation.metrics.histograms import SensorHistograms
from floodseg.models.decision import Decision, Decisions, logit_difference
from floodseg.models.registry import build_model
from floodseg.training.losses import FloodLoss
from floodseg.training.validation import calibrate, choose_decisions, counts_at_decisions, validate

BOTH = Bands(sar=("VV", "VH"), optical=("B03", "B08"))
RADAR = Bands(sar=("VV", "VH"), optical=())
ALONE = Processes()


def make_batch(seed, size=(16, 20), bands=BOTH):
    """One chip of noise: radar missing in the first rows, optical in the first columns, labels in the last rows."""
    generator = torch.Generator().manual_seed(seed)
    water = torch.rand(1, *size, generator=generator) < 0.4
    sar = torch.where(water, -22.0, -18.0)[:, None] + 3 * torch.randn(1, len(bands.sar), *size, generator=generator)
    optical = 0.1 + 0.02 * torch.randn(1, len(bands.optical), *size, generator=generator)
    if bands.optical:
        optical[:, 0] += torch.where(water, 0.01, -0.01)
    sar_valid, optical_valid = torch.ones(1, 1, *size, dtype=torch.bool), torch.ones(1, 1, *size, dtype=torch.bool)
    sar_valid[:, :, :3] = False
    optical_valid[:, :, :, :4] = False
    if not bands.optical:
        optical_valid[:] = False
    label = water.to(torch.uint8)
    label[:, -2:] = 255
    return {
        "sar": torch.where(sar_valid, sar, torch.nan), "optical": optical, "sar_valid": sar_valid,
        "optical_valid": optical_valid, "label": label, "index": torch.tensor([seed]),
    }  # fmt: skip


@pytest.fixture
def batches():
    return [make_batch(seed) for seed in range(3)]


def blank(batch):
    return {**batch, "label": torch.full_like(batch["label"], 255)}


def test_a_pixel_with_a_label_and_a_valid_sensor_counts(batches):
    counted = counted_pixels(batches[0])
    expected = torch.ones(1, 16, 20, dtype=torch.bool)
    expected[:, :3, :4] = False  # neither sensor
    expected[:, -2:] = False  # no label
    assert torch.equal(counted, expected)


def test_a_sensor_without_channels_is_passed_as_none():
    calls = []

    def model(*arguments):
        calls.append(arguments)
        return torch.zeros(1, 2, 16, 20)

    batch = make_batch(0, bands=RADAR)
    forward(model, batch)
    [(sar, optical, sar_valid, _)] = calls
    assert sar.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(sar.nan_to_num(), batch["sar"].nan_to_num())
    assert optical is None
    assert sar_valid is batch["sar_valid"]


def test_each_set_of_valid_sensors_has_its_histogram(batches, rule_model):
    histograms = SensorHistograms()
    histograms.add(rule_model(BOTH)(*inputs(batches[0])), batches[0])
    pixels = {name: histogram.counts_at(0.5).n for name, histogram in histograms.by_sensors.items()}
    # 14 labelled rows of 20 columns; radar from row 3, optical from column 4
    assert pixels == {"both": 11 * 16, "sar": 11 * 4, "optical": 3 * 16}
    assert histograms.total().counts_at(0.5).n == sum(pixels.values())


def inputs(batch):
    return batch["sar"], batch["optical"], batch["sar_valid"], batch["optical_valid"]


def test_validation_scores_all_chips_at_the_best_threshold(batches, rule_model):
    model = rule_model(BOTH).train()
    validation = validate(model, [*batches, blank(batches[0])], FloodLoss(), ALONE)
    assert not model.training
    margins, labels = [], []
    losses = []
    with torch.no_grad():
        for batch in batches:
            logits, counted = model(*inputs(batch)), counted_pixels(batch)
            losses.append(float(FloodLoss()(logits, batch["label"], counted)))
            margins.append(logit_difference(logits)[counted])
            labels.append(batch["label"][counted] == 1)
    margins, labels = torch.cat(margins), torch.cat(labels)
    # a chip without counted pixels does not enter the mean
    assert validation.loss == pytest.approx(sum(losses) / 3)
    water = torch.sigmoid(margins) >= validation.threshold
    assert validation.counts == Counts(
        int((labels & water).sum()),
        int((~labels & water).sum()),
        int((labels & ~water).sum()),
        int((~labels & ~water).sum()),
    )
    assert validation.water_iou == validation.counts.water_iou
    others = [
        (labels & (margins >= edge)).sum() / (labels | (margins >= edge)).sum() for edge in torch.arange(-8, 8, 0.01)
    ]
    assert validation.water_iou == pytest.approx(float(max(others)), abs=1e-6)
    assert validation.water_iou > float((labels & (margins >= 0)).sum() / (labels | (margins >= 0)).sum())


def test_a_split_without_any_counted_pixel_scores_zero(batches, rule_model):
    validation = validate(rule_model(BOTH), [blank(batches[0])], FloodLoss(), ALONE)
    assert (validation.loss, validation.water_iou, validation.threshold) == (0.0, 0.0, 0.5)
    assert validation.counts == Counts()


def test_values_at_invalid_pixels_have_no_effect(batches, rule_model):
    other = [
        {
            **batch,
            "sar": torch.where(batch["sar_valid"], batch["sar"], 1e9),
            "optical": torch.where(batch["optical_valid"], batch["optical"], torch.nan),
        }
        for batch in batches
    ]
    one, two = (validate(rule_model(BOTH), loader, FloodLoss(), ALONE) for loader in (batches, other))
    assert (one.loss, one.threshold, one.counts) == (two.loss, two.threshold, two.counts)


def test_each_sensor_set_gets_its_threshold(batches, rule_model):
    validation = validate(rule_model(BOTH), batches, FloodLoss(), ALONE)
    decisions = choose_decisions(validation.histograms)
    for sensors, histogram in validation.histograms.by_sensors.items():
        temperature = histogram.fit_temperature()
        assert decisions.of(sensors) == Decision(histogram.best_threshold(temperature)[0], temperature)
    assert len({decisions.sar, decisions.optical, decisions.both}) == 3
    counts = counts_at_decisions(validation.histograms, decisions)
    assert counts.n == validation.counts.n
    # each set has its best threshold, so that the sum is at least as good
    for sensors, histogram in validation.histograms.by_sensors.items():
        decision = decisions.of(sensors)
        own = histogram.counts_at(decision.threshold, decision.temperature).water_iou
        assert own >= histogram.counts_at(validation.threshold).water_iou


def test_a_sensor_set_without_pixels_gets_the_threshold_of_all_pixels(rule_model):
    validation = validate(rule_model(RADAR), [make_batch(0, bands=RADAR)], FloodLoss(), ALONE)
    decisions = choose_decisions(validation.histograms)
    assert decisions.optical == decisions.both == decisions.sar
    assert counts_at_decisions(validation.histograms, decisions) == validation.counts
    assert choose_decisions(SensorHistograms()) == Decisions()


def test_calibration_withholds_each_sensor_in_turn(batches, rule_model):
    model = rule_model(BOTH)
    counts = calibrate(model, batches, ALONE)
    decisions = model.decisions

    def withheld(sensor):
        valid = f"{sensor}_valid"
        return [{**batch, valid: torch.zeros_like(batch[valid])} for batch in batches]

    for sensor, other in (("sar", "optical"), ("optical", "sar")):
        alone = validate(model, withheld(other), FloodLoss(), ALONE).histograms
        assert alone.by_sensors[sensor].counts_at(0.5).n > 150, "many more pixels than where the other one is missing"
        assert decisions.of(sensor) == choose_decisions(alone).of(sensor)
    histograms = validate(model, batches, FloodLoss(), ALONE).histograms
    assert decisions.both == choose_decisions(histograms).both
    assert decisions.sar != choose_decisions(histograms).sar
    assert counts == counts_at_decisions(histograms, decisions)


def test_a_model_of_one_sensor_is_calibrated_in_one_pass(rule_model):
    calls = []
    model = rule_model(RADAR)
    model.register_forward_hook(lambda *_: calls.append(1))
    batches = [make_batch(seed, bands=RADAR) for seed in range(2)]
    counts = calibrate(model, batches, ALONE)
    decisions = model.decisions
    assert len(calls) == 2
    assert decisions == choose_decisions(validate(model, batches, FloodLoss(), ALONE).histograms)
    assert isinstance(model, nn.Module)
    assert counts.n == 2 * 11 * 20


def test_spectral_gets_an_offset_with_which_half_is_the_threshold_of_a_calibrated_probability():
    model = build_model("spectral").eval()
    batches = [make_batch(seed, bands=model.spec.bands) for seed in range(2)]
    before = validate(model, batches, FloodLoss(), ALONE).histograms.total()
    counts = calibrate(model, batches, ALONE)
    after = validate(model, batches, FloodLoss(), ALONE).histograms.total()
    decision = model.decisions.optical
    assert decision.threshold == 0.5
    fitted = after.fit_temperature()
    assert after.nll(fitted) < before.nll(before.fit_temperature()) - 0.001
    assert decision.temperature == pytest.approx(0.92 * fitted)
    assert after.fit_offset() == pytest.approx(0, abs=0.01)
    assert counts == after.counts_at(0.5)
