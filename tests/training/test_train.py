import csv
import json
import shutil
import time
import tomllib
from dataclasses import dataclass, field, replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook

from floodseg.config.base import flatten
from floodseg.config.data import DataConfig
from floodseg.config.train import ModelConfig
from floodseg.datasets.synthetic import SyntheticChips
from floodseg.errors import ConfigError, DataError, RunFolderError
from floodseg.evaluation.evaluate import evaluate
from floodseg.models.checkpoint.checkpoint import load_checkpoint
from floodseg.models.encoders import pretrained
from floodseg.models.networks import spectral
from floodseg.models.registry import ARCHITECTURES
from floodseg.training import train as train_module
from floodseg.training.prepare import resolve
from floodseg.training.records import RunRecords
from floodseg.training.train import train

SPECTRAL_BANDS = ARCHITECTURES["spectral"].bands
METRICS = (
    "train_loss", "valid_loss", "water_iou", "threshold", "miou", "f1", "precision", "recall", "accuracy", "lr",
    "images_per_s", "seconds",
)  # fmt: skip


@dataclass
class Watch:
    """Observations of a run."""

    lrs: list[float] = field(default_factory=list)
    norms: list[float] = field(default_factory=list)
    """Gradient norm at each optimiser step, after clipping."""
    raw_norms: list[float] = field(default_factory=list)
    """The same before clipping."""
    weights: list[list[torch.Tensor]] = field(default_factory=list)
    """All parameters after each step."""
    evaluated: list[dict[str, torch.Tensor]] = field(default_factory=list)
    """The scored weights of each epoch."""


@pytest.fixture(scope="module")
def watched():
    """Return a function that trains and returns the result and a Watch."""

    def run(config, **arguments):
        watch = Watch()

        def before(optimizer, *_):
            watch.lrs.append(optimizer.param_groups[0]["lr"])
            gradients = [p.grad for group in optimizer.param_groups for p in group["params"]]
            watch.norms.append(float(torch.stack([g.norm() for g in gradients if g is not None]).norm()))

        def after(optimizer, *_):
            groups = optimizer.param_groups
            watch.weights.append([p.detach().clone() for group in groups for p in group["params"]])

        def validate(model, *rest):
            watch.evaluated.append({name: value.clone() for name, value in model.state_dict().items()})
            return real_validate(model, *rest)

        def clip(parameters, *rest, **options):
            norm = real_clip(parameters, *rest, **options)
            watch.raw_norms.append(float(norm))
            return norm

        real_validate, real_clip = train_module.validate, torch.nn.utils.clip_grad_norm_
        hooks = register_optimizer_step_pre_hook(before), register_optimizer_step_post_hook(after)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(train_module, "validate", validate)
            patch.setattr(torch.nn.utils, "clip_grad_norm_", clip)
            result = train(config, show_progress=False, **arguments)
        for hook in hooks:
            hook.remove()
        return result, watch

    return run


@pytest.fixture(scope="module")
def both(tmp_path_factory, make_config, watched):
    """Five epochs of three steps on both sensors, with gradients clipped hard."""
    config = make_config(tmp_path_factory.mktemp("both") / "run", epochs=5, clip_norm=0.5)
    return config, *watched(config)


@pytest.fixture(scope="module")
def radar(tmp_path_factory, make_config, watched):
    """Three epochs on radar only, with averaged weights."""
    config = make_config(tmp_path_factory.mktemp("radar") / "run", sensors="sar", ema=0.9)
    return config, *watched(config)


def read_rows(folder):
    with (folder / "metrics.csv").open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def read_summary(folder):
    return json.loads((folder / "summary.json").read_text(encoding="utf-8"))


def test_a_finished_run_folder_has_all_files(both):
    config, result, _ = both
    names = {path.name for path in config.out_dir.iterdir()}
    assert names == {
        "config.toml", "metrics.csv", "tensorboard", "curves.png", "val_epoch_005.png", "best_model.pth",
        "state", "summary.json",
    }  # fmt: skip
    assert result.out_dir == config.out_dir
    written = {name: (config.out_dir / name).stat().st_mtime_ns for name in names - {"tensorboard"}}
    assert max(written, key=written.__getitem__) == "summary.json"
    for name in ("curves.png", "val_epoch_005.png"):
        with Image.open(config.out_dir / name) as image:
            assert image.width > 300


def test_the_resolved_configuration_is_written(both):
    config, _, _ = both
    written = tomllib.loads((config.out_dir / "config.toml").read_text(encoding="utf-8"))
    assert written == {**flatten(config), "context_prior": 0.0}


def test_metrics_and_tensorboard_have_each_epoch(both):
    config, result, _ = both
    rows = read_rows(config.out_dir)
    assert [row["epoch"] for row in rows] == ["1", "2", "3", "4", "5"]
    assert list(rows[0]) == ["epoch", *METRICS]
    scores = [float(row["water_iou"]) for row in rows]
    assert result.water_iou == max(scores)
    assert result.best_epoch == scores.index(max(scores)) + 1
    board = EventAccumulator(str(config.out_dir / "tensorboard"))
    board.Reload()
    assert set(board.Tags()["scalars"]) == set(METRICS)
    for name in METRICS:
        events = board.Scalars(name)
        assert [event.step for event in events] == [1, 2, 3, 4, 5]
        assert [event.value for event in events] == pytest.approx([float(row[name]) for row in rows], rel=1e-5)


def test_the_loss_decreases(both):
    config, _, _ = both
    losses = [float(row["train_loss"]) for row in read_rows(config.out_dir)]
    assert losses[-1] < 0.8 * losses[0]


def test_the_summary_describes_the_run(both):
    config, result, _ = both
    summary = read_summary(config.out_dir)
    assert (summary["model"], summary["encoder"], summary["precision"]) == ("lite", None, "fp32")
    assert (summary["epochs"], summary["steps"], summary["stopped_early"]) == (5, 15, False)
    assert (summary["best_epoch"], summary["best_water_iou"]) == (result.best_epoch, result.water_iou)
    assert summary["pretrained"] == "none"
    assert summary["warnings"] == []
    assert summary["seconds"] == pytest.approx(sum(float(row["seconds"]) for row in read_rows(config.out_dir)))
    assert summary["peak_memory_mb"] > 100
    assert summary["versions"]["torch"] == torch.__version__.partition("+")[0]


def test_the_learning_rate_cycle_spans_the_run(both):
    config, _, watch = both
    peak, total = config.optim.lr, 15
    assert len(watch.lrs) == total
    assert watch.lrs[0] == pytest.approx(peak / 25)
    # the peak is at step 0.3 * 15 - 1 = 3.5, counted from 0: between two steps
    assert watch.lrs.index(max(watch.lrs)) in (3, 4)
    assert 0.9 * peak < max(watch.lrs) <= peak
    assert watch.lrs[-1] == pytest.approx(peak / 25 / 1e4)
    assert all(one < two for one, two in pairwise(watch.lrs[:4]))
    assert all(one > two for one, two in pairwise(watch.lrs[4:]))
    # the recorded rate is that after the last step of the epoch, with which the next epoch starts
    assert [float(row["lr"]) for row in read_rows(config.out_dir)][:4] == pytest.approx(watch.lrs[3::3])


def test_gradients_are_clipped(both):
    config, _, watch = both
    limit = config.optim.clip_norm
    assert len(watch.norms) == len(watch.raw_norms) == 15
    assert any(norm > 1.1 * limit for norm in watch.raw_norms), "the limit must matter in this run"
    for raw, norm in zip(watch.raw_norms, watch.norms, strict=True):
        assert norm == pytest.approx(min(raw, limit), rel=1e-3)


@pytest.mark.parametrize("which", ["both", "radar"])
def test_evaluate_reproduces_the_score_of_the_best_model(request, which):
    config, _, _ = request.getfixturevalue(which)
    best = load_checkpoint(config.out_dir / "best_model.pth")
    document = evaluate(best, config=config.data, split="valid").document
    stored = best.provenance.scores["valid"]
    for name in ("water_iou", "miou", "f1", "precision", "recall"):
        assert document[name] == pytest.approx(stored[name], abs=1e-6)
    summary = read_summary(config.out_dir)
    assert summary["valid"] == stored
    assert summary["decisions"] == best.decisions.to_json()


def test_a_single_sensor_run_stores_the_score_of_its_best_epoch(radar):
    config, result, _ = radar
    assert read_summary(config.out_dir)["valid"]["water_iou"] == pytest.approx(result.water_iou, abs=1e-6)


def test_best_model_holds_plain_values_and_metadata(both):
    config, result, _ = both
    document = torch.load(config.out_dir / "best_model.pth", weights_only=True)
    described = document["description"]
    assert described["architecture"] == "lite"
    assert described["bands"]["sar"] == ["VV", "VH"]
    assert len(described["bands"]["optical"]) == 13
    assert described["training"]["epochs"] == result.best_epoch
    assert described["training"]["steps"] == 3 * result.best_epoch
    assert described["training"]["epochs_planned"] == 5
    assert described["training"]["layout"] == "synthetic"


def test_best_model_holds_the_weights_of_the_best_epoch(both):
    config, result, watch = both
    assert_same(load_checkpoint(config.out_dir / "best_model.pth").state_dict(), watch.evaluated[result.best_epoch - 1])


def test_averaged_weights_are_scored_and_saved(radar):
    config, result, watch = radar
    best = load_checkpoint(config.out_dir / "best_model.pth")
    assert_same(best.state_dict(), watch.evaluated[result.best_epoch - 1])
    # the average by hand, with the warm-up of its decay: 1 - (1 + n)^(-2/3) for the n-th step from 0, at most 0.9
    steps = 3 * result.best_epoch
    average = [torch.zeros_like(value) for value in watch.weights[0]]
    for step, weights in enumerate(watch.weights[:steps]):
        decay = min(0.9, 1 - (1 + step) ** (-2 / 3))
        average = [decay * old + (1 - decay) * new for old, new in zip(average, weights, strict=True)]
    saved = {tuple(p.shape): [] for p in best.parameters()}
    for parameter in best.parameters():
        saved[tuple(parameter.shape)].append(parameter)
    for by_hand, trained in zip(average, watch.weights[steps - 1], strict=True):
        same_shape = saved[tuple(by_hand.shape)]
        assert any(torch.allclose(by_hand, value, rtol=1e-4, atol=1e-6) for value in same_shape)
        if by_hand.numel() > 100:
            assert not any(torch.equal(trained, value) for value in same_shape)


def assert_same(one, other):
    assert one.keys() == other.keys()
    for name, value in one.items():
        assert torch.equal(value, other[name]), name


# ---- seeds and precision


@pytest.fixture(scope="module")
def smallest(tmp_path_factory, make_config):
    """Return a function that trains one epoch of two steps and returns the best weights and the summary."""
    root = tmp_path_factory.mktemp("smallest")

    def run(name, **changes):
        config = make_config(
            root / name,
            **{"epochs": 1, "synthetic_chips": 4, "synthetic_size": 32, "crop_size": 32, "sensors": "sar", **changes},
        )
        train(config, show_progress=False)
        return load_checkpoint(config.out_dir / "best_model.pth").state_dict(), read_summary(config.out_dir)

    return run


def test_a_run_depends_on_seed_and_precision_only(smallest):
    first, summary = smallest("first")
    assert summary["precision"] == "fp32"
    mixed, summary = smallest("mixed", precision="bf16")
    assert summary["precision"] == "bf16"
    again, summary = smallest("again")
    assert summary["precision"] == "fp32"
    assert_same(first, again)
    assert any(not torch.equal(value, mixed[name]) for name, value in first.items())
    other, _ = smallest("other", seed=1)
    parameters = [name for name, value in first.items() if value.numel() > 100]
    assert all(not torch.equal(first[name], other[name]) for name in parameters)


def test_a_run_of_one_step_works(smallest):
    _, summary = smallest("one", batch_size=8)
    assert summary["steps"] == 1


def test_refused_settings_leave_the_folder_unchanged(tmp_path, make_config, both):
    with pytest.raises(ConfigError, match="`precision=fp16` on a CPU"):
        train(make_config(tmp_path / "run", precision="fp16"), show_progress=False)
    assert not (tmp_path / "run" / "config.toml").exists()
    config, _, _ = both
    before = {path: path.read_bytes() for path in config.out_dir.iterdir() if path.is_file()}
    lost = replace(config, data=DataConfig(layout="folders", data=tmp_path / "lost"))
    with pytest.raises(DataError, match="lost is not a folder"):
        train(lost, overwrite=True, show_progress=False)
    assert {path: path.read_bytes() for path in config.out_dir.iterdir() if path.is_file()} == before


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"sensors": "sar", "drop_sensor": 0.5},
            "`drop_sensor=0.5`: needs both sensors, but the chips hold only radar images; leave it out",
        ),
        (
            {"sensors": "optical", "drop_sensor": 0.5},
            "`drop_sensor=0.5`: needs both sensors, but the chips hold only optical images",
        ),
        ({"sensors": "sar", "cloud": 0.5}, "`cloud=0.5`: needs optical images, but the chips hold only radar images"),
        ({"sensors": "optical", "sar_speckle": 0.5}, "`sar_speckle=0.5`: needs radar in dB, but the chips hold"),
        (
            {"sensors": "sar", "optical_level": 0.5},
            "`optical_level=0.5`: needs Sentinel-2 bands in reflectance, but the chips hold only radar images",
        ),
        (
            {"sensors": "sar", "optical_shadow": 0.5},
            "`optical_shadow=0.5`: needs Sentinel-2 bands in reflectance, but the chips hold only radar images",
        ),
    ],
)
def test_augmentation_without_its_sensor_is_refused(tmp_path, make_config, changes, message):
    with pytest.raises(ConfigError, match=message):
        train(make_config(tmp_path / "run", **changes), show_progress=False)
    assert not (tmp_path / "run").exists()


def test_overwrite_starts_again_and_leaves_other_files(tmp_path, make_config):
    config = make_config(tmp_path, epochs=2, synthetic_chips=2, synthetic_size=32, crop_size=32, sensors="sar", seed=2)
    (tmp_path / "notes.txt").write_text("mine", encoding="utf-8")
    train(config, show_progress=False)
    shorter = replace(config, optim=replace(config.optim, epochs=1))
    with pytest.raises(RunFolderError, match="holds a finished run; set `resume` or `overwrite`"):
        train(shorter, show_progress=False)
    train(shorter, overwrite=True, show_progress=False)
    assert len(read_rows(tmp_path)) == 1
    assert [path.name for path in (tmp_path / "state").iterdir()] == ["epoch_0001"]
    assert (tmp_path / "notes.txt").read_text(encoding="utf-8") == "mine"


# ---- early stopping


@pytest.mark.parametrize(
    ("patience", "scores", "epochs", "best"),
    [
        (2, [0.4, 0.5, 0.3, 0.5, 0.9], 4, 2),  # 0.5 again is not better
        (0, [0.4, 0.3, 0.2, 0.1, 0.0], 5, 1),
        (4, [0.4, 0.3, 0.2, 0.1, 0.5], 5, 5),
    ],
)
def test_training_stops_after_patience(monkeypatch, tmp_path, make_config, patience, scores, epochs, best):
    real_validate, calls = train_module.validate, []

    def validate(*arguments):
        calls.append(1)
        return replace(real_validate(*arguments), water_iou=scores[len(calls) - 1])

    monkeypatch.setattr(train_module, "validate", validate)
    monkeypatch.setattr(RunRecords, "draw_picture", lambda *_: None)
    config = make_config(
        tmp_path, epochs=5, patience=patience, sensors="sar", synthetic_chips=2, synthetic_size=32, crop_size=32
    )
    result = train(config, show_progress=False)
    summary = read_summary(tmp_path)
    assert (result.best_epoch, result.water_iou) == (best, scores[best - 1])
    assert (summary["epochs"], summary["stopped_early"]) == (epochs, epochs < 5)
    assert load_checkpoint(tmp_path / "best_model.pth").provenance.training["epochs"] == best


# ---- encoder weights


def test_missing_encoder_weights_are_reported_once_per_run(monkeypatch, tmp_path, make_config, capsys, caplog):
    def unreachable(name):
        raise pretrained._UnavailableError("no connection within 10 s")

    monkeypatch.setattr(pretrained, "_download", unreachable)
    smaller = replace(ARCHITECTURES["efficient"], default_encoder="resnet10t")
    monkeypatch.setitem(ARCHITECTURES, "efficient", smaller)
    config = make_config(
        tmp_path, model="efficient", pretrained="auto", epochs=2, sensors="sar",
        synthetic_chips=2, synthetic_size=32, crop_size=32,
    )  # fmt: skip
    with monkeypatch.context() as patch:
        interrupt_at_record(patch, epoch=2)
        with pytest.raises(KeyboardInterrupt):
            train(config)
    warning = (
        "encoder 'resnet10t' starts from scratch: its pretrained weights are not available (no connection within 10 s)"
    )
    assert [record.getMessage() for record in caplog.records] == [warning]
    assert warning not in capsys.readouterr().out
    train(config, resume=True)
    assert len(caplog.records) == 1
    assert capsys.readouterr().out.count(f"warning: {warning}") == 1
    text = (tmp_path / "config.toml").read_text(encoding="utf-8")
    assert f"# {warning}\n" in text
    assert tomllib.loads(text) == {**flatten(config), "encoder": "resnet10t", "context_prior": 0.0}
    assert read_summary(tmp_path)["warnings"] == [warning]
    assert load_checkpoint(tmp_path / "best_model.pth").provenance.training["warnings"] == [warning]
    with pytest.raises(ConfigError, match="pretrained"):
        train(make_config(tmp_path / "lite", pretrained="required"), show_progress=False)


# ---- resuming


def interrupt_at_record(patch, epoch):
    """Interrupt before the metrics of an epoch (from 1) are recorded, after its best model is written."""
    real = RunRecords.add_epoch

    def record(self, *arguments):
        if self.state.epoch == epoch:
            raise KeyboardInterrupt
        real(self, *arguments)

    patch.setattr(RunRecords, "add_epoch", record)


def interrupt_at_step(patch, step):
    """Interrupt before an optimiser step (from 1) of the run."""
    real = train_module.training_step

    def one_step(run, batch):
        if run.state.steps == step - 1:
            raise KeyboardInterrupt
        return real(run, batch)

    patch.setattr(train_module, "training_step", one_step)


RESUMED = {
    "epochs": 4, "synthetic_size": 32, "crop_size": 32, "ema": 0.9, "precision": "bf16", "drop_sensor": 0.3,
    "cloud": 0.3,
}  # fmt: skip


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory, make_config):
    config = make_config(tmp_path_factory.mktemp("uninterrupted") / "run", **RESUMED)
    train(config, show_progress=False)
    return config.out_dir


def read_state(folder):
    """Return every tensor and plain value of the last resume state, by file and name."""
    [state] = (folder / "state").iterdir()
    assert state.name == "epoch_0004"
    values = {"model": load_file(state / "model.safetensors")}
    for path in sorted(state.glob("*.bin")) + sorted(state.glob("*.pkl")):
        if not path.name.startswith("random_states"):
            values[path.name] = torch.load(path, weights_only=True)
    return values


def assert_equal_values(one, other, path="state"):
    if isinstance(one, torch.Tensor):
        assert torch.equal(one, other), path
    elif isinstance(one, dict):
        assert one.keys() == other.keys(), path
        for key in one.keys() - {"seconds", "images_per_s"}:
            assert_equal_values(one[key], other[key], f"{path}.{key}")
    elif isinstance(one, list | tuple):
        assert len(one) == len(other), path
        for index, (left, right) in enumerate(zip(one, other, strict=True)):
            assert_equal_values(left, right, f"{path}[{index}]")
    else:
        assert one == other, path


@pytest.mark.parametrize(
    ("workers", "interrupt", "at"),
    [
        pytest.param(0, interrupt_at_record, 3, id="before the third record"),
        pytest.param(0, interrupt_at_step, 2, id="in the first epoch"),
        pytest.param(2, interrupt_at_step, 8, id="in the third epoch with two workers", marks=pytest.mark.slow),
    ],
)
def test_a_resumed_run_equals_an_uninterrupted_one(tmp_path, make_config, uninterrupted, workers, interrupt, at):
    config = make_config(tmp_path / "run", workers=workers, **RESUMED)
    with pytest.MonkeyPatch.context() as patch:
        interrupt(patch, at)
        with pytest.raises(KeyboardInterrupt):
            train(config, show_progress=False)
    assert not (config.out_dir / "summary.json").exists()
    # TensorBoard orders its files by the second in their names
    time.sleep(1.1)
    result = train(config, resume=True, show_progress=False)
    state, expected = read_state(config.out_dir), read_state(uninterrupted)
    assert {"model", "optimizer.bin", "custom_checkpoint_0.pkl", "custom_checkpoint_2.pkl"} <= state.keys()
    assert_equal_values(state, expected)
    best, best_expected = (
        torch.load(folder / "best_model.pth", weights_only=True) for folder in (config.out_dir, uninterrupted)
    )
    assert_equal_values(best, best_expected)
    rows, rows_expected = read_rows(config.out_dir), read_rows(uninterrupted)
    assert_equal_values(rows, rows_expected)
    assert result.best_epoch == read_summary(uninterrupted)["best_epoch"]
    board = EventAccumulator(str(config.out_dir / "tensorboard"))
    board.Reload()
    assert [event.step for event in board.Scalars("water_iou")] == [1, 2, 3, 4]


def test_stored_scores_of_a_mixed_precision_run_are_in_full_precision(make_config, uninterrupted):
    best = load_checkpoint(uninterrupted / "best_model.pth")
    document = evaluate(best, config=make_config(uninterrupted, **RESUMED).data, split="valid").document
    assert document["water_iou"] == pytest.approx(read_summary(uninterrupted)["valid"]["water_iou"], abs=1e-6)


def test_resume_refuses_changed_settings_and_missing_runs(tmp_path, make_config, uninterrupted):
    config = make_config(uninterrupted, **RESUMED)
    changed = replace(config, optim=replace(config.optim, lr=1e-4))
    with pytest.raises(RunFolderError, match=r"began with: `lr` \(0.003 before, 0.0001 now\); set them"):
        train(changed, resume=True, show_progress=False)
    with pytest.raises(RunFolderError, match="holds no run to resume"):
        train(replace(config, out_dir=tmp_path / "none"), resume=True, show_progress=False)
    with pytest.raises(RunFolderError, match="`resume` and `overwrite` are mutually exclusive"):
        train(config, resume=True, overwrite=True, show_progress=False)


@pytest.mark.parametrize("damage", ["config.toml", "state/epoch_{:04d}/optimizer.bin"])
def test_resume_refuses_a_damaged_run(tmp_path, make_config, uninterrupted, damage):
    shutil.copytree(uninterrupted, tmp_path / "run")
    file = tmp_path / "run" / damage.format(read_summary(uninterrupted)["epochs"])
    file.write_bytes(file.read_bytes()[:9])
    with pytest.raises(RunFolderError, match=r"is damaged \(.*\); start again with `overwrite`"):
        train(make_config(tmp_path / "run", **RESUMED), resume=True, show_progress=False)


def test_resume_refuses_a_state_without_random_states(tmp_path, make_config, uninterrupted):
    shutil.copytree(uninterrupted, tmp_path / "run")
    (tmp_path / "run" / "state" / "epoch_0004" / "random_states_0.pkl").unlink()
    with pytest.raises(RunFolderError, match=r"random_states_0.pkl: is missing; put it back, or start again"):
        train(make_config(tmp_path / "run", **RESUMED), resume=True, show_progress=False)


def test_resume_of_a_finished_run_changes_nothing(make_config, uninterrupted):
    config = make_config(uninterrupted, **RESUMED)
    names = ("config.toml", "metrics.csv")
    before = [(uninterrupted / name).read_bytes() for name in names]
    best = torch.load(uninterrupted / "best_model.pth", weights_only=True)
    summary = read_summary(uninterrupted)
    result = train(config, resume=True, show_progress=False)
    assert [(uninterrupted / name).read_bytes() for name in names] == before
    assert_equal_values(torch.load(uninterrupted / "best_model.pth", weights_only=True), best)
    of_this_process = {"peak_memory_mb": 0, "finished": ""}
    assert read_summary(uninterrupted) | of_this_process == summary | of_this_process
    assert result.best_epoch == summary["best_epoch"]


def test_a_folder_in_use_is_refused(monkeypatch, tmp_path, make_config):
    config = make_config(tmp_path, epochs=1, synthetic_chips=2, synthetic_size=32, crop_size=32, sensors="sar")
    refused = []

    def second_run(self, *_):
        with pytest.raises(RunFolderError, match="another run is training in this folder"):
            train(config, overwrite=True, show_progress=False)
        refused.append(config.out_dir)

    monkeypatch.setattr(RunRecords, "add_epoch", second_run)
    monkeypatch.setattr(RunRecords, "finish", lambda *_: None)
    train(config, show_progress=False)
    assert refused == [tmp_path]


def test_a_split_without_water_is_refused(tmp_path, make_config, monkeypatch):
    monkeypatch.setattr(SyntheticChips, "read_label", lambda self, index: np.zeros((64, 64), np.uint8))
    with pytest.raises(DataError, match="split 'train': its 6 chips hold no pixel labelled water"):
        train(make_config(tmp_path / "run"), show_progress=False)


def test_resolve_fills_in_defaults_of_the_machine(tmp_path, make_config, monkeypatch):
    (tmp_path / "sen1floods11").mkdir()
    monkeypatch.setenv("FLOODSEG_DATA", str(tmp_path))
    config = make_config(tmp_path / "run", precision="auto")
    resolved = resolve(replace(config, data=DataConfig(), model=ModelConfig("efficient")), "cpu")
    assert resolved.data.data == tmp_path / "sen1floods11"
    assert resolved.model.encoder == "resnet34"
    assert resolved.optim.precision in ("fp32", "bf16", "fp16")


def test_a_larger_penalty_keeps_the_correction_of_spectral_smaller(make_config, tmp_path, monkeypatch):
    heads = []
    for penalty in (0.0, 10.0):
        monkeypatch.setattr(spectral, "CORRECTION_PENALTY", penalty)
        config = make_config(
            tmp_path / str(penalty), sensors="optical", model="spectral", optical_bands=SPECTRAL_BANDS.optical,
            synthetic_chips=4, synthetic_size=64, crop_size=64, epochs=4, lr=0.01,
        )  # fmt: skip
        train(config, show_progress=False)
        model = load_checkpoint(config.out_dir / "best_model.pth")
        heads.append(model.network.head[-1].weight.detach().norm().item())
    assert heads[1] < 0.5 * heads[0], heads
