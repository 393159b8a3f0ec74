"""Scores of rule models (see conftest) against counts by hand, on chips of 20x24 pixels."""

import csv
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

import scenes
from floodseg.bands import L1C_BANDS, Bands
from floodseg.config.data import DataConfig
from floodseg.errors import CheckpointError, ConfigError, DataError
from floodseg.evaluation.evaluate import evaluate
from floodseg.evaluation.metrics.counts import Counts, ReliabilityBins
from floodseg.models.decision import Decision, Decisions

SIZE = (20, 24)
BOTH = Bands(sar=("VV", "VH"), optical=L1C_BANDS)
RADAR = Bands(sar=("VV", "VH"), optical=())
OPTICAL = Bands(sar=(), optical=("B08", "B03"))
NAMES = ("delta_1", "delta_2", "valley_1", "valley_2")
FIELDS = {
    "model", "split", "sensors", "n_chips", "n_chips_left_out", "left_out", "n_chips_counted", "n_pixels", "threshold",
    "water_iou", "land_iou", "miou", "f1", "precision", "recall", "accuracy", "water_iou_per_chip_mean",
    "water_iou_ci95", "ece", "events", "calibration",
    "thresholds",
}  # fmt: skip
DECISIONS = Decisions(sar=Decision(0.7, 2.0), optical=Decision(0.35, 0.5), both=Decision(0.55, 1.5))


def write_chip(root: Path, name: str, seed: int) -> SimpleNamespace:
    """Write a chip of noise with gaps in both sensors; return the expected content."""
    rng = np.random.default_rng(seed)
    water = rng.random(SIZE) < 0.4
    db = np.where(water, -22.0, -18.0) + rng.normal(0, 3, (2, *SIZE))
    reflectance = rng.uniform(0.05, 0.1, (13, *SIZE))
    reflectance[2] += np.where(water, 0.02, -0.02)
    db[:, :4] = np.nan
    reflectance[:, :, :5] = np.nan
    label = water.astype(np.int16)
    label[-3:] = -1
    if name == "valley_2":
        label[:] = -1
    return SimpleNamespace(
        sar=scenes.write_sar(root / f"S1Hand/{name}_S1Hand.tif", db.astype(np.float32)),
        optical=scenes.write_optical(root / f"S2Hand/{name}_S2Hand.tif", reflectance, names=L1C_BANDS),
        label=scenes.write_label(root / f"LabelHand/{name}_LabelHand.tif", label),
    )


@pytest.fixture(scope="module")
def chips(tmp_path_factory):
    """Three chips of two events and one without any label, in folders: (root, chip by name)."""
    root = tmp_path_factory.mktemp("chips")
    return root, {name: write_chip(root, name, seed) for seed, name in enumerate(NAMES)}


@pytest.fixture(scope="module")
def radar_tree(tmp_path_factory):
    """The same chips in the official layout, without optical images and with test as the only split."""
    root = tmp_path_factory.mktemp("tree")
    for seed, name in enumerate(NAMES):
        write_chip(root / "v1.1/data/flood_events/HandLabeled", name, seed)
    for file in (root / "v1.1/data/flood_events/HandLabeled/S2Hand").iterdir():
        file.unlink()
    listed = root / "v1.1/splits/flood_handlabeled/flood_test_data.csv"
    listed.parent.mkdir(parents=True)
    with listed.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows((f"{name}_S1Hand.tif", f"{name}_LabelHand.tif") for name in NAMES)
    return root


@pytest.fixture
def model(rule_model):
    """Return a function that makes a rule model with a threshold and temperature for each sensor set."""

    def make(bands):
        model = rule_model(bands)
        model.decisions = DECISIONS
        return model

    return make


def by_hand(chip, sensors):
    """Return water, probability and validity (H, W) by the rule, computed in numpy at each pixel."""
    sar = np.isfinite(chip.sar).all(0) & (sensors != "optical")
    optical = np.isfinite(chip.optical).all(0) & (sensors != "sar")
    from_sar = -20 - np.nan_to_num(chip.sar[1].astype(np.float64))
    from_optical = 100 * np.nan_to_num(chip.optical[2].astype(np.float64) - chip.optical[7])
    difference = (sar * from_sar + optical * from_optical) / np.maximum(sar.astype(int) + optical, 1)
    both, single = DECISIONS.both, np.where(sar, 0, 1)
    threshold = np.choose(single, [DECISIONS.sar.threshold, DECISIONS.optical.threshold])
    temperature = np.choose(single, [DECISIONS.sar.temperature, DECISIONS.optical.temperature])
    threshold = np.where(sar & optical, both.threshold, threshold)
    temperature = np.where(sar & optical, both.temperature, temperature)
    probability = 1 / (1 + np.exp(-difference / temperature))
    return probability >= threshold, probability, sar | optical


def counts_by_hand(chip, water, valid):
    counted = valid & (chip.label != 255)
    truth = chip.label == 1
    cells = (truth & water, ~truth & water, truth & ~water, ~truth & ~water)
    return Counts(*(int((cell & counted).sum()) for cell in cells))


@pytest.mark.parametrize("sensors", ["both", "sar", "optical"])
def test_scores_equal_counts_by_hand(chips, model, sensors):
    root, held = chips
    document = evaluate(model(BOTH), data=root, layout="folders", split="all", sensors=sensors).document
    assert document.keys() == FIELDS
    maps = {name: by_hand(chip, sensors) for name, chip in held.items()}
    counts = {name: counts_by_hand(held[name], water, valid) for name, (water, _, valid) in maps.items()}
    total = sum(counts.values(), start=Counts())
    assert min(total.tp, total.fp, total.fn, total.tn) > 20, "a test that counts nothing shows nothing"
    for field in ("water_iou", "land_iou", "miou", "f1", "precision", "recall", "accuracy"):
        assert document[field] == getattr(total, field), field
    assert (document["n_chips"], document["n_chips_counted"], document["n_pixels"]) == (4, 3, total.n)
    assert total.n == sum(int((valid & (held[name].label != 255)).sum()) for name, (*_, valid) in maps.items())
    per_chip = [counts[name].water_iou for name in NAMES[:3]]
    assert document["water_iou_per_chip_mean"] == pytest.approx(np.mean(per_chip))
    assert document["water_iou_ci95"][0] <= document["water_iou"] <= document["water_iou_ci95"][1]
    assert (document["model"], document["split"], document["sensors"]) == ("rule", "all", sensors)
    assert document["threshold"] == DECISIONS.of(sensors).threshold
    assert document["ece"] == pytest.approx(ece_by_hand(held, maps), abs=1e-6)


def ece_by_hand(held, maps):
    probability, truth = (
        np.concatenate([part(name)[maps[name][2] & (held[name].label != 255)] for name in NAMES])
        for part in (lambda name: maps[name][1], lambda name: held[name].label == 1)
    )
    bins = np.minimum((probability * 15).astype(int), 14)
    gaps = [abs((probability - truth)[bins == index].sum()) for index in range(15)]
    return sum(gaps) / len(truth)


def test_each_pixel_uses_the_threshold_of_its_valid_sensors(chips, model):
    """One threshold for all pixels gives other counts, so the test above is not trivial."""
    root, _ = chips
    document = evaluate(model(BOTH), data=root, layout="folders", split="all").document
    equal_decisions = model(BOTH)
    equal_decisions.decisions = Decisions(DECISIONS.both, DECISIONS.both, DECISIONS.both)
    other = evaluate(equal_decisions, data=root, layout="folders", split="all").document
    assert document["n_pixels"] == other["n_pixels"]
    assert document["water_iou"] != other["water_iou"]


def test_events_are_scored_separately(chips, model):
    root, held = chips
    document = evaluate(model(BOTH), data=root, layout="folders", split="all").document
    assert list(document["events"]) == ["delta", "valley"]
    for event, names in (("delta", NAMES[:2]), ("valley", NAMES[2:])):
        total = Counts()
        for name in names:
            water, _, valid = by_hand(held[name], "both")
            total = total + counts_by_hand(held[name], water, valid)
        scores = document["events"][event]
        assert (scores["water_iou"], scores["n_pixels"]) == (total.water_iou, total.n)
        assert scores.keys() == FIELDS - {
            "model", "split", "sensors", "threshold", "events", "n_chips_left_out", "left_out", "calibration",
            "thresholds",
        }  # fmt: skip
    assert document["events"]["valley"]["n_chips_counted"] == 1


@pytest.mark.parametrize(
    ("sensors", "references"), [("both", {"otsu", "ndwi"}), ("sar", {"otsu"}), ("optical", {"ndwi"})]
)
def test_baselines_that_the_bands_allow_are_scored(chips, model, sensors, references):
    root, _ = chips
    options = {"data": root, "layout": "folders", "split": "all"}
    evaluation = evaluate(model(BOTH), sensors=sensors, **options)
    assert evaluation.references.keys() == references
    for name, document in evaluation.references.items():
        single = evaluate(name, **options)
        assert single.document == document
        assert single.references == {}
        assert document.keys() == FIELDS
        assert document["ece"] is document["calibration"] is document["thresholds"] is None
    assert [score.name for score in evaluation.chips] == list(NAMES)


def test_baseline_documents_have_all_fields(chips):
    root, held = chips
    options = {"data": root, "layout": "folders", "split": "all"}
    otsu, ndwi = evaluate("otsu", **options).document, evaluate("ndwi", **options).document
    assert (otsu["model"], otsu["sensors"], otsu["threshold"]) == ("otsu", "sar", None)
    assert (ndwi["model"], ndwi["sensors"], ndwi["threshold"]) == ("ndwi", "optical", 0.0)
    # the first four rows lack radar, the first five columns lack optical pixels; three rows have no label
    assert (otsu["n_pixels"], ndwi["n_pixels"]) == (3 * 13 * 24, 3 * 17 * 19)
    truth = [
        counts_by_hand(chip, chip.optical[2] > chip.optical[7], np.isfinite(chip.optical).all(0))
        for chip in held.values()
    ]
    assert ndwi["water_iou"] == sum(truth, start=Counts()).water_iou


def test_scores_are_plain_json(chips, model):
    root, _ = chips
    evaluation = evaluate(model(BOTH), data=str(root), layout="folders", split="all", name="a name")
    for document in (evaluation.document, *evaluation.references.values()):
        assert json.loads(json.dumps(document, allow_nan=False)) == document
    assert evaluation.document["model"] == "a name"


def test_a_radar_model_reads_only_radar_of_both_sensors(chips, model):
    root, _ = chips
    options = {"data": root, "layout": "folders", "split": "all"}
    radar = evaluate(model(RADAR), **options)
    assert radar.document["sensors"] == "sar"
    assert radar.references.keys() == {"otsu"}
    assert radar.document == evaluate(model(BOTH), sensors="sar", **options).document
    assert radar.document == evaluate(model(RADAR), sensors="sar", **options).document


def test_an_optical_model_gets_its_bands_in_its_order(chips, model):
    root, _ = chips
    options = {"data": root, "layout": "folders", "split": "all"}
    optical = evaluate(model(OPTICAL), **options).document
    assert optical["sensors"] == "optical"
    assert optical == evaluate(model(BOTH), sensors="optical", **options).document
    with pytest.raises(ConfigError, match=r"`optical_bands=B03 B08`: 'rule' takes B08 B03; leave it out"):
        evaluate(model(OPTICAL), split="all", config=DataConfig(root, "folders", optical_bands=("B03", "B08")))


def test_a_model_of_both_sensors_runs_on_radar_only(chips, radar_tree, model):
    root, _ = chips
    tree = evaluate(model(BOTH), data=radar_tree, layout="sen1floods11", split="test")
    assert tree.document["sensors"] == "sar"
    assert tree.document["threshold"] == DECISIONS.sar.threshold
    assert tree.references.keys() == {"otsu"}
    folders = evaluate(model(BOTH), data=root, layout="folders", split="all", sensors="sar").document
    assert {**tree.document, "split": "all"} == folders


@pytest.mark.parametrize(
    ("method", "sensors", "message"),
    [
        (
            RADAR,
            "both",
            r"`sensors=both`: 'rule' takes only radar images; .* choose a model for radar and optical images",
        ),
        (RADAR, "optical", r"`sensors=optical`: 'rule' takes only radar images"),
        (OPTICAL, "sar", r"`sensors=sar`: 'rule' takes only optical images"),
        ("ndwi", "sar", r"`sensors=sar`: 'ndwi' takes only optical images"),
        ("otsu", "both", r"`sensors=both`: 'otsu' takes only radar images"),
    ],
)
def test_sensors_that_a_method_does_not_take_are_refused(chips, model, method, sensors, message):
    root, _ = chips
    scored = method if isinstance(method, str) else model(method)
    with pytest.raises(ConfigError, match=message):
        evaluate(scored, data=root, layout="folders", split="all", sensors=sensors)


def test_chips_with_narrow_infrared_alone_are_scored(model, tmp_path):
    for at, names in enumerate((("B03", "B08"), ("B03", "B8A"))):
        for seed, name in enumerate(NAMES):
            chip = write_chip(tmp_path / str(at), name, seed)
            path = tmp_path / f"{at}/S2Hand/{name}_S2Hand.tif"
            scenes.write_optical(path, chip.optical[[2, 7]], names=names)
    for method in (model(OPTICAL), "ndwi"):
        expected, scores = (
            evaluate(method, data=tmp_path / str(at), layout="folders", split="all").document for at in (0, 1)
        )
        assert scores == expected
    with pytest.raises(ConfigError, match="takes optical images of B01"):
        evaluate(model(BOTH), data=tmp_path / "1", layout="folders", split="all")


def test_sensors_that_the_data_lack_are_refused(radar_tree, model):
    options = {"data": radar_tree, "layout": "sen1floods11", "split": "test"}
    for sensors in ("both", "optical"):
        with pytest.raises(DataError, match=rf"`sensors={sensors}`: .* holds no optical image"):
            evaluate(model(BOTH), sensors=sensors, **options)
    for method in (model(OPTICAL), "ndwi"):
        with pytest.raises(ConfigError, match="takes optical images, but the data set holds none"):
            evaluate(method, **options)
    with pytest.raises(DataError, match=r"`split=valid`: .* has the splits test"):
        evaluate(model(BOTH), **{**options, "split": "valid"})


def test_pictures_show_calibration_and_the_worst_chips(chips, model, tmp_path, monkeypatch):
    root, held = chips
    drawn = {}
    monkeypatch.setattr(
        "floodseg.evaluation.pictures.rows_picture", lambda path, rows, title: drawn.update({path: rows})
    )
    evaluate(model(BOTH), data=root, layout="folders", split="all", out_dir=tmp_path / "pictures")
    with Image.open(tmp_path / "pictures" / "reliability.png") as image:
        assert image.width > 300
    [rows] = drawn.values()
    wrong = {}
    for name, chip in held.items():
        water, _, valid = by_hand(chip, "both")
        counts = counts_by_hand(chip, water, valid)
        wrong[name] = (counts.fp + counts.fn, f"missed {counts.fn:,}, false {counts.fp:,} pixels")
    expected = sorted((name for name in NAMES if wrong[name][0]), key=lambda name: -wrong[name][0])
    assert [row.chip.name for row in rows] == expected
    assert "valley_2" not in expected, "a chip without counted pixel is not among the worst"
    for row in rows:
        assert row.caption.endswith(wrong[row.chip.name][1])


def test_a_baseline_draws_worst_chips_and_no_reliability(chips, tmp_path):
    root, _ = chips
    evaluate("otsu", data=root, layout="folders", split="all", out_dir=tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["worst_chips.png"]


def test_reliability_of_the_chips_adds_up(chips, model):
    root, _ = chips
    evaluation = evaluate(model(BOTH), data=root, layout="folders", split="all")
    bins = sum((score.reliability for score in evaluation.chips), start=ReliabilityBins())
    assert bins.pixels.sum() == evaluation.document["n_pixels"]
    assert bins.ece == pytest.approx(evaluation.document["ece"])


def test_a_model_that_returns_nan_is_refused(rule_model) -> None:
    config = DataConfig(layout="synthetic", synthetic_chips=2, synthetic_size=32, sensors="sar")
    model = rule_model(RADAR)
    with torch.no_grad():
        model.network.scale.fill_(torch.nan)
    with pytest.raises(CheckpointError, match="the model returns NaN for chip"):
        evaluate(model, split="valid", config=config)
