"""Runs that start from a trained model."""

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from floodseg.config.train import TrainConfig
from floodseg.errors import ConfigError, RunFolderError
from floodseg.models.checkpoint.checkpoint import load_path, save_checkpoint
from floodseg.models.model import FloodModel
from floodseg.training import train as train_module
from floodseg.training.fine_tuning import load_start
from floodseg.training.lineage import model_record
from floodseg.training.train import train


@pytest.fixture
def before(radar_run: Path) -> Path:
    """A trained model of radar only."""
    return radar_run


def fine_tuning(make_config, before: Path, out_dir: Path, **changes) -> TrainConfig:
    return make_config(out_dir, **({"sensors": "sar", "start_from": str(before), "split_seed": 5} | changes))


def state(model: FloodModel) -> dict[str, torch.Tensor]:
    return model.state_dict()


def test_fine_tuning_starts_with_weights_and_normalisation_of_the_model(
    tmp_path: Path, make_config, before: Path
) -> None:
    still = fine_tuning(make_config, before, tmp_path / "still", lr=1e-9, weight_decay=0.0, epochs=1, ema=0.5)
    train(still, show_progress=False)
    one, other = state(load_path(still.out_dir)), state(load_path(before))
    assert torch.equal(one["normalise_sar.table"], other["normalise_sar.table"])
    for name, parameter in load_path(before).named_parameters():
        torch.testing.assert_close(one[name], parameter, atol=1e-6, rtol=0)


def test_fine_tuning_records_its_start(tmp_path: Path, make_config, before: Path) -> None:
    config = fine_tuning(make_config, before, tmp_path / "run")
    train(config, show_progress=False)
    tuned, start = load_path(config.out_dir), load_path(before)
    assert tuned.provenance.training["started_from"] == model_record(str(before), start)
    assert start.provenance.training["started_from"] is None
    assert any(not torch.equal(state(tuned)[name], value) for name, value in start.named_parameters())


@pytest.mark.parametrize(
    ("settings", "expected"), [({}, 0.4), ({"context_prior": 0.2}, 0.2), ({"context_prior": 0.0}, None)]
)
def test_fine_tuning_inherits_the_context_prior(
    tmp_path: Path, make_config, before: Path, settings: dict[str, float], expected: float | None
) -> None:
    start = tmp_path / "start.pth"
    save_checkpoint(start, load_path(before).set_context_prior(0.4))
    config = fine_tuning(make_config, start, tmp_path / "run", epochs=1, **settings)
    train(config, show_progress=False)
    prior = load_path(config.out_dir).context_prior
    assert (prior and prior.strength) == expected
    # a resumed run needs neither the model nor the setting
    start.unlink()
    (config.out_dir / "summary.json").unlink()
    flagless = fine_tuning(make_config, start, tmp_path / "run", epochs=1)
    train(flagless, resume=True, show_progress=False)
    prior = load_path(config.out_dir).context_prior
    assert (prior and prior.strength) == expected
    settings = config.out_dir / "config.toml"
    damaged = re.sub("(?m)^context_prior = .*$", 'context_prior = "strong"', settings.read_text(encoding="utf-8"))
    settings.write_text(damaged, encoding="utf-8")
    with pytest.raises(RunFolderError, match=r"config\.toml: is damaged \(context_prior is 'strong', which must be a"):
        train(flagless, resume=True, show_progress=False)


def test_fine_tuning_starts_with_a_higher_score(tmp_path: Path, make_config, before: Path) -> None:
    losses = []
    scratch = make_config(tmp_path / "scratch", sensors="sar")
    for config in (fine_tuning(make_config, before, tmp_path / "on"), scratch):
        train(replace(config, data=replace(config.data, split_seed=5)), show_progress=False)
        first = (config.out_dir / "metrics.csv").read_text(encoding="utf-8").splitlines()[1]
        losses.append(float(first.split(",")[1]))
    assert losses[0] < 0.8 * losses[1]


def test_a_resumed_run_does_not_need_the_start_model(
    tmp_path: Path, make_config, before: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = tmp_path / "before"
    shutil.copytree(before, copy)
    uninterrupted, halted = (fine_tuning(make_config, copy, tmp_path / name) for name in ("uninterrupted", "halted"))
    train(uninterrupted, show_progress=False)
    real, epochs = train_module.validate, []

    def validate(*arguments):
        epochs.append(1)
        if len(epochs) == 2:
            raise KeyboardInterrupt
        return real(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(train_module, "validate", validate)
        with pytest.raises(KeyboardInterrupt):
            train(halted, show_progress=False)
    shutil.rmtree(copy)
    train(halted, resume=True, show_progress=False)
    one, other = load_path(uninterrupted.out_dir), load_path(halted.out_dir)
    assert all(torch.equal(state(one)[name], value) for name, value in state(other).items())
    assert one.provenance.training["started_from"] == other.provenance.training["started_from"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sensors": "optical"}, "`start_from=.*`: is lite of VV, VH in dB, but this run trains lite of B01, .* set"),
        (
            {"model": "efficient", "encoder": "resnet18"},
            "is lite of VV, VH in dB, .* trains efficient with resnet18 of",
        ),
    ],
)
def test_a_start_model_that_differs_is_refused(tmp_path: Path, make_config, before: Path, changes, message) -> None:
    with pytest.raises(ConfigError, match=message):
        train(fine_tuning(make_config, before, tmp_path / "run", **changes), show_progress=False)
    assert not (tmp_path / "run").exists()


def test_a_start_model_trained_on_the_held_out_event_is_refused(tmp_path: Path, make_config, before: Path) -> None:
    config = fine_tuning(make_config, before, tmp_path / "run")
    holding_out = replace(config, data=replace(config.data, layout="sen1floods11", split_seed=0, synthetic_chips=64,
        synthetic_size=256, data=tmp_path, hold_out_event="Ghana"))  # fmt: skip
    with pytest.raises(
        ConfigError, match=r"`start_from=.*`: may have been trained on the event Ghana, which is held out"
    ):
        load_start(holding_out)


def test_a_multi_sensor_start_model_is_refused(tmp_path: Path, make_config, specialists_run: TrainConfig) -> None:
    config = make_config(tmp_path / "run", start_from=str(specialists_run.out_dir))
    with pytest.raises(ConfigError, match=r"`start_from=.*`: is a multi-sensor model, .*; set its radar model"):
        train(config, show_progress=False)


def test_overwrite_does_not_clear_the_start_model(tmp_path: Path, make_config, before: Path) -> None:
    shutil.copytree(before, tmp_path / "run")
    with pytest.raises(ConfigError, match=r"`start_from=.*`: lies in the run folder .*, which `overwrite` clears"):
        train(fine_tuning(make_config, tmp_path / "run", tmp_path / "run"), overwrite=True, show_progress=False)
    assert json.loads((tmp_path / "run/summary.json").read_text(encoding="utf-8"))["epochs"] == 2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"pretrained": "required"}, "`pretrained=required`: has no effect with `start_from"),
        ({"specialists": ("train",)}, "`specialists=train`: has no effect with `start_from.*; leave it out"),
        ({"start_from": ""}, "`start_from=''`: must be a shipped model, a run folder or a checkpoint"),
    ],
)
def test_settings_without_effect_on_fine_tuning_are_refused(tmp_path: Path, make_config, changes, message) -> None:
    with pytest.raises(ConfigError, match=message):
        make_config(tmp_path / "run", **({"start_from": "s1-lite"} | changes))


def test_start_from_is_allowed_with_pretrained_none(tmp_path: Path, make_config) -> None:
    assert make_config(tmp_path / "run", start_from="s1-lite", pretrained="none").model.start_from == "s1-lite"
