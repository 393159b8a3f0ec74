from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from floodseg.bands import Bands
from floodseg.chips.chip import Chip
from floodseg.evaluation.metrics.counts import Counts
from floodseg.system.environment import versions
from floodseg.training import records
from floodseg.training.records import RunRecords, validation_scores
from floodseg.training.run_folder import RunFolder
from floodseg.training.run_state import RunState

RADAR = Bands(sar=("VV", "VH"), optical=())


class FewChips:
    """Six chips of 10x10 pixels of several events, each with its share of water."""

    bands = RADAR
    names = ("dry_1", "half_1", "half_2", "wet_1", "blank_1", "half_3")
    events = ("dry", "half", "half", "wet", "blank", "half")
    water = (0, 50, 40, 90, 0, 30)

    def read_label(self, index):
        label = np.zeros(100, np.uint8)
        label[: self.water[index]] = 1
        if self.events[index] == "blank":
            label[:] = 255
        return label.reshape(10, 10)

    def read(self, index, window=None):
        assert window is None
        sar = np.full((2, 10, 10), -10, np.float32)
        valid = np.ones((10, 10), bool)
        return Chip(
            self.names[index], self.events[index], sar, np.zeros((0, 10, 10), np.float32), valid, ~valid,
            self.read_label(index), None,
        )  # fmt: skip


def test_run_state_is_saved_and_loaded_as_plain_values(tmp_path):
    state = RunState()
    state.epoch, state.steps = 4, 40
    assert state.record_score(0.5)
    state.rows.append({"epoch": 4, "miou": None, "lr": 1e-3})
    state.warnings.append("from scratch")
    torch.save(state.state_dict(), tmp_path / "state.pkl")
    other = RunState()
    other.load_state_dict(torch.load(tmp_path / "state.pkl", weights_only=True))
    assert vars(other) == vars(state)


def test_only_a_higher_score_becomes_the_best():
    state = RunState()
    better = []
    for epoch, score in enumerate([0.0, 0.3, 0.3, 0.2, 0.31], start=1):
        state.epoch = epoch
        better.append(state.record_score(score))
    assert better == [True, True, False, False, True]
    assert (state.best_epoch, state.best_water_iou) == (5, 0.31)


@pytest.mark.parametrize(
    ("record", "pretrained", "warnings"),
    [
        (None, "none", []),
        (SimpleNamespace(loaded=True, source="hub/file", warning=None), "hub/file", []),
        (SimpleNamespace(loaded=False, source="scratch", warning="no network"), "none", ["no network"]),
    ],
)
def test_the_source_of_encoder_weights_is_recorded(record, pretrained, warnings):
    network = nn.Identity()
    if record is not None:
        network.pretrained_record = record
    state = RunState()
    state.record_encoder(SimpleNamespace(network=network))
    assert (state.pretrained, state.warnings) == (pretrained, warnings)


@pytest.fixture
def run_records(tmp_path, make_config, rule_model):
    return RunRecords(RunFolder(tmp_path), make_config(tmp_path), rule_model(RADAR), RunState())


def test_pictures_show_chips_of_different_events_first(monkeypatch, run_records, rule_model):
    drawn = []
    monkeypatch.setattr(records, "rows_picture", lambda path, rows, title: drawn.append((path, rows, title)))
    run_records.state.epoch = 10
    run_records.draw_picture(rule_model(RADAR), FewChips())
    [(path, rows, title)] = drawn
    assert path.name == "val_epoch_010.png"
    assert "epoch 10" in title
    captions = {row.chip.name: row.caption for row in rows}
    assert list(captions)[:2] == ["half_1", "wet_1"]
    assert set(captions) == {"half_1", "wet_1", "half_2", "half_3"}, "chips of water and land come first"
    assert captions["half_1"] == "water IoU 0 %"  # -10 dB is land by the rule
    assert records._percent(None) == "undefined (no water)"


def test_validation_scores_are_computed_from_counts(run_records):
    scores = validation_scores(Counts(tp=3, fp=1, fn=2, tn=4))
    assert scores["valid"] == {
        "water_iou": 3 / 6,
        "miou": pytest.approx((3 / 6 + 4 / 7) / 2),
        "f1": 6 / 9,
        "precision": 3 / 4,
        "recall": 3 / 5,
    }
    assert validation_scores(Counts(tn=4))["valid"]["water_iou"] == 0.0


def test_training_metadata_describe_the_run(run_records):
    metadata = run_records.training_metadata()
    assert metadata["precision"] == "fp32"
    assert (metadata["layout"], metadata["split"]) == ("synthetic", "train")
    assert (metadata["seed"], metadata["batch_size"]) == (0, 2)
    assert metadata["versions"] == versions()
