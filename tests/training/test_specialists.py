"""Runs with specialists: trained first or set, resumed, overwritten, refused."""

import functools
import json
import shutil
import tomllib
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
import torch

from floodseg.config.train import DistilConfig, TrainConfig
from floodseg.datasets.layouts import open_layout
from floodseg.errors import CheckpointError, ConfigError, RunFolderError
from floodseg.evaluation.evaluate import evaluate
from floodseg.models.checkpoint.checkpoint import load_path, save_checkpoint
from floodseg.models.decision import Decision
from floodseg.models.multi_sensor import AnyModel, MultiSensorModel, model_for
from floodseg.training import train as train_module
from floodseg.training.lineage import model_record
from floodseg.training.train import train

from .conftest import TINIEST

EPOCHS = TINIEST["epochs"]


@pytest.fixture
def trained(specialists_run: TrainConfig) -> TrainConfig:
    """A run that trained its specialists first."""
    return specialists_run


@pytest.fixture
def make_tiniest(make_config):
    return functools.partial(make_config, **TINIEST)


def read(path: Path) -> dict:
    return json.loads(path.read_text(encoding="utf-8"))


def tensors(model: AnyModel) -> dict[str, torch.Tensor]:
    return model.state_dict()


def test_one_run_trains_both_specialists_and_the_fused_model(trained: TrainConfig) -> None:
    model = load_path(trained.out_dir)
    for sensor in ("sar", "optical"):
        folder = trained.out_dir / "specialists" / sensor
        assert read(folder / "summary.json")["epochs"] == EPOCHS
        trained_alone, specialist = load_path(folder), model_for(model, sensor)
        assert all(torch.equal(tensors(trained_alone)[name], value) for name, value in tensors(specialist).items())
        assert specialist.decisions == trained_alone.decisions
        assert trained_alone.provenance.training["sensors"] == sensor
    records = model.provenance.training["specialists"]
    assert [each["sensors"] for each in records] == [["sar"], ["optical"]]
    assert len({each["sha256"] for each in records}) == 2


def test_stored_scores_are_those_of_the_stored_model(trained: TrainConfig) -> None:
    model = load_path(trained.out_dir)
    document = evaluate(model, config=trained.data, split="valid").document
    for score in ("water_iou", "miou", "precision", "recall"):
        assert model.provenance.scores["valid"][score] == pytest.approx(document[score], abs=1e-6)


def test_finishing_a_run_again_changes_nothing(trained: TrainConfig, tmp_path: Path) -> None:
    """This happens if a run is killed between its calibrated checkpoint and its summary."""
    config = replace(trained, out_dir=tmp_path / "run")
    shutil.copytree(trained.out_dir, config.out_dir)
    (config.out_dir / "summary.json").unlink()
    train(config, resume=True, show_progress=False)
    one, other = load_path(config.out_dir), load_path(trained.out_dir)
    assert one.decisions == other.decisions
    assert one.provenance.scores == other.provenance.scores


@pytest.mark.parametrize("sensor", ["sar", "optical"])
def test_with_one_sensor_the_model_scores_as_its_specialist(trained: TrainConfig, sensor: str) -> None:
    data = replace(trained.data, sensors=sensor)
    models = [load_path(folder) for folder in (trained.out_dir, trained.out_dir / "specialists" / sensor)]
    scores = [evaluate(model, config=data).document for model in models]
    assert scores[0]["water_iou"] == scores[1]["water_iou"]
    assert models[0].decisions.of(sensor).threshold == models[1].decisions.of(sensor).threshold
    chip = open_layout(data, "valid").read(0)
    image, valid = (torch.from_numpy(getattr(chip, name))[None] for name in (sensor, f"{sensor}_valid"))
    inputs = {sensor: image, f"{sensor}_valid": valid[None]}
    with torch.no_grad():
        selected, expected = (model(**inputs) for model in models)
    difference = (expected[:, 1] - expected[:, 0]) / models[1].decisions.of(sensor).temperature
    assert torch.equal(selected[:, 1] - selected[:, 0], difference)


def test_trained_specialists_can_be_set(tmp_path: Path, make_tiniest, trained: TrainConfig) -> None:
    names = tuple(str(trained.out_dir / "specialists" / sensor) for sensor in ("sar", "optical"))
    config = make_tiniest(tmp_path / "run", specialists=names, cloud=0.5)
    train(config, show_progress=False)
    assert not (tmp_path / "run" / "specialists").exists()
    one, other = load_path(tmp_path / "run"), load_path(trained.out_dir)
    assert all(torch.equal(tensors(one)[name], value) for name, value in tensors(other).items()), "the same run"
    with pytest.raises(ConfigError, match=r"radar model: takes .* in reflectance, but the multi-sensor model needs VV"):
        train(make_tiniest(tmp_path / "swapped", specialists=names[::-1]), show_progress=False)
    with pytest.raises(ConfigError, match="`specialists`: needs chips of both sensors, but the chips hold only one"):
        train(make_tiniest(tmp_path / "one", specialists=names, sensors="sar"), show_progress=False)
    assert not (tmp_path / "swapped").exists()


@pytest.mark.parametrize("stop", [pytest.param(1, marks=pytest.mark.slow), 2, pytest.param(5, marks=pytest.mark.slow)])
def test_an_interrupted_run_with_specialists_resumes(
    tmp_path: Path, trained: TrainConfig, monkeypatch, stop: int
) -> None:
    """Epochs 1 and 2 are of the radar specialist, 3 and 4 of the optical one, 5 and 6 of the fused model."""
    config = replace(trained, out_dir=tmp_path / "run")
    epochs = 0

    def validate(*arguments):
        nonlocal epochs
        epochs += 1
        if epochs == stop + 1:
            raise KeyboardInterrupt
        return real(*arguments)

    real = train_module.validate
    with monkeypatch.context() as patch:
        patch.setattr(train_module, "validate", validate)
        with pytest.raises(KeyboardInterrupt):
            train(config, show_progress=False)
    with pytest.raises(RunFolderError, match="holds an unfinished run; set `resume` or `overwrite`"):
        train(config, show_progress=False)
    with pytest.raises(RunFolderError, match=r"`specialists` \(\['train'\] before, \[\] now\)"):
        train(replace(config, model=replace(config.model, specialists=())), resume=True, show_progress=False)
    with pytest.raises(RunFolderError, match=r"`lr` \(0\.003 before, 0\.1 now\)"):
        train(replace(config, optim=replace(config.optim, lr=0.1)), resume=True, show_progress=False)
    train(config, resume=True, show_progress=False)
    one, other = load_path(config.out_dir), load_path(trained.out_dir)
    assert all(torch.equal(tensors(one)[name], value) for name, value in tensors(other).items())


def test_an_interrupted_overwrite_resumes_as_the_new_run(
    tmp_path: Path, trained: TrainConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "run"
    shutil.copytree(trained.out_dir, folder)
    changed = replace(trained, out_dir=folder, optim=replace(trained.optim, lr=1e-3))

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(train_module, "validate", interrupted)
        with pytest.raises(KeyboardInterrupt):
            train(changed, overwrite=True, show_progress=False)
    assert not (folder / "summary.json").exists()
    assert not (folder / "specialists/optical").exists()
    train(changed, resume=True, show_progress=False)
    rates = []
    for each in (folder, folder / "specialists/sar", folder / "specialists/optical"):
        rates.append(tomllib.loads((each / "config.toml").read_text())["lr"])
        assert read(each / "summary.json")["epochs"] == EPOCHS
    assert rates == [1e-3] * 3


def test_errors_of_the_fused_model_are_raised_before_specialists_train(
    tmp_path: Path, make_config, trained: TrainConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "run"
    shutil.copytree(trained.out_dir, folder)
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    monkeypatch.setattr(train_module, "set_up", lambda *_: pytest.fail("nothing is to be trained"))
    config = replace(trained, out_dir=folder, distil=DistilConfig(teacher=("nowhere.pth",)))
    with pytest.raises(CheckpointError, match=r"nowhere\.pth"):
        train(config, overwrite=True, show_progress=False)
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    config = replace(trained, out_dir=folder, model=replace(trained.model, encoder="resnet18"))
    with pytest.raises(ConfigError, match="encoder"):
        train(config, overwrite=True, show_progress=False)
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    with pytest.raises(ConfigError, match="encoder"):
        train(replace(config, out_dir=tmp_path / "new"), show_progress=False)
    with pytest.raises(ConfigError, match="`specialists`: needs chips of both sensors, but the chips hold only one"):
        train(make_config(tmp_path / "new", specialists=("train",), sensors="optical"), show_progress=False)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("specialists", [("train",), ()])
def test_overwrite_is_refused_if_the_run_holds_a_needed_model(
    tmp_path: Path, make_config, trained: TrainConfig, specialists: tuple[str, ...]
) -> None:
    folder = tmp_path / "run"
    shutil.copytree(trained.out_dir, folder)
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    teacher = str(folder / "best_model.pth")
    config = replace(make_config(folder, specialists=specialists), distil=DistilConfig(teacher=(teacher,)))
    with pytest.raises(ConfigError, match=r"`teacher=.*best_model\.pth`: lies in the run folder .* `overwrite` clears"):
        train(config, overwrite=True, show_progress=False)
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_overwrite_keeps_specialists_that_the_settings_name(tmp_path: Path, trained: TrainConfig, make_tiniest) -> None:
    folder = tmp_path / "run"
    shutil.copytree(trained.out_dir, folder)
    names = tuple(str(folder / "specialists" / sensor) for sensor in ("sar", "optical"))
    train(make_tiniest(folder, specialists=names), overwrite=True, show_progress=False)
    assert all((Path(name) / "best_model.pth").is_file() for name in names)


@pytest.mark.slow
def test_loader_processes_end_with_each_network(tmp_path: Path, make_tiniest) -> None:
    before = {child.pid for child in psutil.Process().children(recursive=True)}
    train(make_tiniest(tmp_path / "run", specialists=("train",), workers=1), show_progress=False)
    left = [child for child in psutil.Process().children(recursive=True) if child.pid not in before]
    assert not [
        child
        for child in left
        if child.status() != psutil.STATUS_ZOMBIE and "resource_tracker" not in " ".join(child.cmdline())
    ]


def test_resume_refuses_other_specialists(tmp_path: Path, make_config, trained: TrainConfig) -> None:
    folder = tmp_path / "run"
    shutil.copytree(trained.out_dir, folder)
    config = replace(trained, out_dir=folder)
    (folder / "summary.json").unlink()
    other = load_path(folder / "specialists/sar")
    with torch.no_grad():
        other.network.head.bias.add_(1)
    save_checkpoint(folder / "specialists/sar/best_model.pth", other)
    with pytest.raises(RunFolderError, match=r"needs the specialists .*, but the weights of specialists/sar have"):
        train(config, resume=True, show_progress=False)


def test_the_checksum_covers_context_priors_and_decisions(trained: TrainConfig) -> None:
    model = load_path(trained.out_dir)
    checksums = [model_record("run", model)["sha256"]]
    model_for(model, "sar").set_context_prior(0.2)
    checksums.append(model_record("run", model)["sha256"])
    model.decisions = model.decisions.with_threshold(0.3)
    checksums.append(model_record("run", model)["sha256"])
    assert len(set(checksums)) == 3


def test_overwrite_removes_specialists(tmp_path: Path, make_tiniest, trained: TrainConfig) -> None:
    folder = tmp_path / "run"
    shutil.copytree(trained.out_dir, folder)
    before = (folder / "specialists/sar/summary.json").stat().st_mtime_ns
    train(replace(trained, out_dir=folder), overwrite=True, show_progress=False)
    assert (folder / "specialists/sar/summary.json").stat().st_mtime_ns > before
    train(make_tiniest(folder), overwrite=True, show_progress=False)
    assert not (folder / "specialists").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"specialists": ("train", "s1-lite")}, None),
        ({"specialists": ("s1-lite",)}, "must be 'train', or a radar model and an optical model"),
        ({"specialists": ("train",), "drop_sensor": 0.5}, "`drop_sensor=0.5`: has no effect with `specialists`"),
    ],
)
def test_contradictory_settings_are_refused(tmp_path: Path, make_config, changes, message) -> None:
    if message is None:
        make_config(tmp_path, **changes)  # two models, of which one lies in a folder called train
        return
    with pytest.raises(ConfigError, match=message):
        make_config(tmp_path, **changes)


@pytest.mark.parametrize(("quality", "detects"), [("mixed", True), ("perfect", False)])
def test_a_cloud_detector_learns_only_from_unmasked_clouds(
    tmp_path: Path, make_tiniest, trained: TrainConfig, quality: str, detects: bool
) -> None:
    names = tuple(str(trained.out_dir / "specialists" / sensor) for sensor in ("sar", "optical"))
    config = make_tiniest(tmp_path / "run", specialists=names, cloud=0.5, cloud_mask_quality=quality)
    train(config, show_progress=False)
    model = load_path(tmp_path / "run")
    assert isinstance(model, MultiSensorModel)
    assert (model.cloud_detector is not None) == detects


def test_only_the_fused_model_and_the_cloud_detector_learn(trained: TrainConfig) -> None:
    model = load_path(trained.out_dir)
    assert isinstance(model, MultiSensorModel)
    assert {name.partition(".")[0] for name in model.state_dict()} == {"sar", "optical", "fused", "cloud_detector"}
    for sensor in ("sar", "optical"):
        alone = load_path(trained.out_dir / "specialists" / sensor)
        assert model.decisions.of(sensor) == Decision(alone.decisions.of(sensor).threshold)
    assert model.decisions.both.temperature != 1
