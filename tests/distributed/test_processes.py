"""Runs and evaluations in two processes on the CPU, connected by Gloo."""

import csv
import json
import math
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from floodseg.app import cli
from floodseg.bands import Bands
from floodseg.config.data import DataConfig
from floodseg.datasets.synthetic import SyntheticChips
from floodseg.distributed import launcher
from floodseg.distributed.processes import ChipShare, Processes
from floodseg.errors import ConfigError
from floodseg.evaluation.evaluate import evaluate
from floodseg.models.checkpoint.checkpoint import load_checkpoint, load_path
from floodseg.models.multi_sensor import model_for
from floodseg.models.registry import build_model
from floodseg.training.optimizer import new_schedule, rescale_schedule
from floodseg.training.setup import with_synchronised_batchnorm
from floodseg.training.train import train
from shared_run import CONFIG, EPOCHS, INTERRUPTED_AFTER, config_in, train_until_epoch, with_specialists
from two_processes import LIMIT_S, environment, run_two

WORKER = Path(__file__).parents[1] / "shared_run.py"


def read_rows(folder):
    with (folder / "metrics.csv").open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def read_summary(folder):
    return json.loads((folder / "summary.json").read_text(encoding="utf-8"))


def run_part(folder, part):
    """Run a part of shared_run.py; return the results of both, output of rank 0 and exit code of rank 1."""
    (code, output, errors), (other_code, other_output, _) = run_two(WORKER, folder, part)
    assert (code, other_output) == (0, ""), errors
    files = [folder / f"{part}_{rank}.json" for rank in (0, 1)]
    return [json.loads(file.read_text(encoding="utf-8")) for file in files if file.exists()], output, other_code


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """Folder and results of two processes that shared a run (``uninterrupted``)."""
    folder = tmp_path_factory.mktemp("shared")
    results, _, other_code = run_part(folder, "short")
    assert other_code == 0
    return folder, results


@pytest.fixture(scope="module")
def resumed(shared):
    """The same folder with runs that two processes interrupted and resumed; results and output of the main process.

    One process began the run in ``to_two``.
    """
    folder, _ = shared
    train_until_epoch(config_in(folder / "to_two"))
    [results], output, other_code = run_part(folder, "long")
    assert other_code == 9, "rank 1 was lost"
    return folder, results, output


def test_processes_share_gather_and_sum(shared):
    _, results = shared
    assert [each["share"] for each in results] == [[0, 2, 4], [1, 3]]
    for each in results:
        assert each["gathered"] == ["0 by 0", "1 by 1", "2 by 0", "3 by 1", "4 by 0"]
        assert each["sum"] == [2**61 + 1, 2], "integers stay exact beyond the 53 bits of a float"
        assert each["copied"] == [[5.0, 5.0], 0]
        assert each["run_on_main"] == "main's"
    assert [each["calls"] for each in results] == [1, 0]


def test_an_error_of_the_main_process_is_raised_in_all_processes(shared):
    _, results = shared
    reason = "chip_1.tif: is truncated; copy it again"
    assert [each["failure"] for each in results] == [
        ["DataError", reason],
        ["OtherProcessError", f"the main process failed: {reason}"],
    ]


def test_a_split_with_fewer_chips_than_processes_is_scored(shared):
    _, results = shared
    single = evaluate(
        "otsu", config=DataConfig(layout="synthetic", synthetic_chips=2, synthetic_size=32, sensors="sar")
    )
    assert single.document["n_chips"] == 1
    assert results[0]["one chip"] == results[1]["one chip"] == json.loads(json.dumps(single.document))


def test_settings_that_do_not_fit_several_processes_are_refused(shared):
    folder, results = shared
    kind, message = results[0]["too few crops"]
    assert kind == "ConfigError"
    assert message.startswith(
        "`batch_size=2`: each of 2 processes takes this many crops per step, but an epoch has only 2; "
    )
    kind, message = results[0]["synchronised"]
    assert kind == "ConfigError"
    assert message.startswith("`sync_batchnorm`: needs several GPUs, but this run has a CPU; ")
    assert results[1]["synchronised"][0] == "OtherProcessError"
    assert not (folder / "small").exists()


@pytest.mark.slow
def test_the_main_process_reports_a_lost_process(resumed):
    _, results, _ = resumed
    kind, message, seconds = results["lost"]
    assert kind == "ProcessError"
    assert message.startswith("another of the 2 processes ended early")
    assert seconds < 60


def test_each_crop_is_used_once_per_epoch_except_in_an_incomplete_step(shared):
    _, results = shared
    for epoch in range(EPOCHS):
        steps = [[index for at, *index in each["crops"] if at == epoch] for each in results]
        assert [[len(crops) for crops in mine] for mine in steps] == [[2, 2], [2, 2]]
        used = [crop for mine in steps for crops in mine for crop in crops]
        assert len(set(used)) == len(used) == 8
        assert set(used) < set(range(10))


def test_two_processes_write_one_run_folder(shared):
    folder, _ = shared
    run = folder / "uninterrupted"
    summary = read_summary(run)
    assert (summary["processes"], summary["epochs"], summary["steps"]) == (2, EPOCHS, 2 * EPOCHS)
    rows = read_rows(run)
    assert len(rows) == EPOCHS
    # the cycle ends with the run
    assert float(rows[-1]["lr"]) == pytest.approx(CONFIG.optim.lr / 25 / 1e4)
    [state] = (run / "state").iterdir()
    assert {file.name for file in state.glob("random_states_*")} == {"random_states_0.pkl", "random_states_1.pkl"}
    best = load_checkpoint(run / "best_model.pth")
    assert best.provenance.training["processes"] == 2
    # five validation chips on two processes: stored scores are those of one process over all five
    document = evaluate(best, config=CONFIG.data, split="valid").document
    assert document["n_chips"] == 5
    for name in ("water_iou", "miou", "f1", "precision", "recall"):
        assert best.provenance.scores["valid"][name] == pytest.approx(document[name], abs=1e-6)


@pytest.mark.slow
def test_a_run_resumed_by_two_processes_equals_an_uninterrupted_one(resumed):
    folder, _, _ = resumed
    states = []
    for name in ("uninterrupted", "continued"):
        [state] = (folder / name / "state").iterdir()
        assert state.name == f"epoch_{EPOCHS:04d}"
        average = torch.load(state / "custom_checkpoint_2.pkl", weights_only=True)
        states.append({**load_file(state / "model.safetensors"), **{f"ema.{key}": average[key] for key in average}})
    uninterrupted, continued = states
    assert uninterrupted.keys() == continued.keys()
    assert all(torch.equal(uninterrupted[key], continued[key]) for key in uninterrupted)
    timed = {"images_per_s", "seconds"}
    rows, again = (
        [{key: row[key] for key in row.keys() - timed} for row in read_rows(folder / name)]
        for name in ("uninterrupted", "continued")
    )
    assert rows == again
    assert read_summary(folder / "continued")["warnings"] == []


def test_resume_of_a_finished_run_by_one_process_changes_nothing(shared, tmp_path):
    folder, _ = shared
    shutil.copytree(folder / "uninterrupted", tmp_path / "run")
    before = read_summary(tmp_path / "run")
    train(config_in(tmp_path / "run"), resume=True, show_progress=False)
    of_this_process = {"peak_memory_mb": 0, "finished": ""}
    assert read_summary(tmp_path / "run") | of_this_process == before | of_this_process
    assert before["processes"] == 2


def expected_lrs(steps_before, steps_after):
    """The learning rate at the end of each epoch, from two schedules with different numbers of steps per epoch."""
    model = nn.Linear(1, 1)
    lrs = {}
    for steps in (steps_before, steps_after):
        schedule = new_schedule(torch.optim.AdamW(model.parameters()), CONFIG.optim, steps)
        schedule.optimizer.step()
        for step in range(1, EPOCHS * steps + 1):
            if step < EPOCHS * steps:
                schedule.step()
            if step % steps == 0:
                lrs[steps, step // steps] = schedule.get_last_lr()[0]
    order = [steps_before] * INTERRUPTED_AFTER + [steps_after] * (EPOCHS - INTERRUPTED_AFTER)
    return [lrs[steps, epoch] for epoch, steps in enumerate(order, start=1)]


@pytest.mark.slow
def test_one_process_resumes_a_run_of_two(resumed, capsys):
    folder, _, _ = resumed
    run = folder / "to_one"
    assert len(read_rows(run)) == INTERRUPTED_AFTER
    before = read_rows(run)
    train(config_in(run), resume=True)
    warning = "since epoch 3 the run uses 1 process instead of 2: each epoch has 5 steps, each of 2 crops instead of 4"
    assert capsys.readouterr().out.count(f"warning: {warning}") == 1
    summary = read_summary(run)
    assert summary["warnings"] == [warning]
    assert f"# {warning}\n" in (run / "config.toml").read_text(encoding="utf-8")
    assert (summary["processes"], summary["epochs"], summary["steps"]) == (1, EPOCHS, 2 * 2 + 2 * 5)
    rows = read_rows(run)
    assert rows[:INTERRUPTED_AFTER] == before
    assert [float(row["lr"]) for row in rows] == pytest.approx(expected_lrs(2, 5))


@pytest.mark.slow
def test_two_processes_resume_a_run_of_one(resumed):
    folder, _, output = resumed
    run = folder / "to_two"
    warning = (
        "since epoch 3 the run uses 2 processes instead of 1: each epoch has 2 steps, each of 4 crops instead of 2"
    )
    assert output.count(f"warning: {warning}") == 1
    summary = read_summary(run)
    assert summary["warnings"] == [warning]
    assert (summary["processes"], summary["epochs"], summary["steps"]) == (2, EPOCHS, 2 * 5 + 2 * 2)
    assert [float(row["lr"]) for row in read_rows(run)] == pytest.approx(expected_lrs(5, 2))
    assert load_checkpoint(run / "best_model.pth").provenance.scores["valid"]["water_iou"] > 0


@pytest.mark.slow
def test_two_processes_train_specialists_and_the_fused_model(resumed):
    folder, _, _ = resumed
    model = load_path(folder / "fused")
    for sensor in ("sar", "optical"):
        run = folder / "fused/specialists" / sensor
        assert (read_summary(run)["processes"], read_summary(run)["steps"]) == (2, 4)
        trained_alone, specialist = load_path(run).state_dict(), model_for(model, sensor).state_dict()
        assert specialist
        assert all(torch.equal(trained_alone[name], value) for name, value in specialist.items())
    data = with_specialists(folder).data
    document = evaluate(model, config=data, split="valid").document
    stored = model.provenance.scores["valid"]["water_iou"]
    assert stored == pytest.approx(document["water_iou"], abs=1e-6), "as one process scores it"


@pytest.mark.slow
def test_two_processes_resume_a_run_with_specialists(resumed):
    folder, _, _ = resumed
    uninterrupted, continued = (load_path(folder / name).state_dict() for name in ("fused", "fused_again"))
    assert uninterrupted.keys() == continued.keys()
    assert all(torch.equal(uninterrupted[key], continued[key]) for key in uninterrupted)


@pytest.mark.slow
def test_accelerate_launch_gives_the_scores_of_one_process(tmp_path):
    data = ["--layout", "synthetic", "--synthetic-chips", "10", "--synthetic-size", "64", "--sensors", "sar"]
    command = ["evaluate", "s1-lite", *data, "--split", "valid", "--json"]
    launch = [
        sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2",
        "--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0",
        "-m", "floodseg",
    ]  # fmt: skip
    subprocess.run(
        [*launch, *command, str(tmp_path / "two.json")],
        env=environment(), check=True, capture_output=True, timeout=LIMIT_S,
    )  # fmt: skip
    with pytest.raises(SystemExit) as stop:
        cli.main([*command, str(tmp_path / "one.json")])
    assert stop.value.code == 0
    one, two = ((tmp_path / name).read_text(encoding="utf-8") for name in ("one.json", "two.json"))
    assert json.loads(one)["n_chips"] == 5, "an odd number, so that one process has a chip more"
    assert two == one


@pytest.mark.slow
def test_refused_settings_end_all_processes_with_one_message(tmp_path):
    (tmp_path / "summary.json").touch()
    main, other = run_two("-m", "floodseg", "train", "--layout", "synthetic", "--out-dir", tmp_path)
    assert main == (
        2,
        "",
        f"floodseg: error: {tmp_path}: holds a finished run; set --resume or --overwrite, or another --out-dir\n",
    )
    assert other == (2, "", "")


def test_a_wrong_flag_is_reported_once(tmp_path):
    (code, output, errors), other = run_two("-m", "floodseg", "train", "--epoch", "3", "--out-dir", tmp_path / "run")
    assert (code, output) == (2, "")
    assert errors.count("\n") == 1
    assert errors.startswith("floodseg: error: Unknown option: ")
    assert other == (2, "", "")
    assert not (tmp_path / "run").exists()


# ---- one process


def test_a_single_process_shares_with_itself():
    single = Processes()
    assert (single.world_size, single.rank, single.is_main) == (1, 0, True)
    assert list(single.share(3)) == [0, 1, 2]
    assert single.gather(["a", "b"], 2) == ["a", "b"]
    assert single.gather_one("a") == ["a"]
    assert single.run_on_main(lambda: "result") == "result"
    single.wait()
    with pytest.raises(RuntimeError, match="gloo"), single.reporting_lost_processes():
        raise RuntimeError("gloo")


def test_chip_share_reads_every_second_chip(monkeypatch):
    chips = SyntheticChips("train", DataConfig(layout="synthetic", synthetic_chips=5, synthetic_size=32))
    second = Processes()
    monkeypatch.setattr(second, "world_size", 2)
    monkeypatch.setattr(second, "rank", 1)
    share = ChipShare(chips, second)
    assert share.names == (chips.names[1], chips.names[3])
    assert share.events == (chips.events[1], chips.events[3])
    assert share.bands == chips.bands
    for index, position in enumerate((1, 3)):
        assert share.read(index).name == chips.names[position]
        assert (share.read_label(index) == chips.read_label(position)).all()


@pytest.mark.parametrize(("name", "value"), [("WORLD_SIZE", "4"), ("PMI_SIZE", "4"), ("OMPI_COMM_WORLD_SIZE", "4")])
def test_processes_that_do_not_find_each_other_are_refused(monkeypatch, name, value):
    assert launcher.started_processes() == 1
    Processes()  # a single process, which Accelerate remembers
    monkeypatch.setenv(name, value)
    assert launcher.started_processes() == 4
    with pytest.raises(ConfigError, match="started 4 processes, which cannot connect to each other; start them with"):
        Processes()


def test_a_launcher_that_starts_one_process_of_several_causes_a_warning(monkeypatch, caplog):
    monkeypatch.setenv("ACCELERATE_USE_CPU", "True")
    monkeypatch.setenv("MASTER_PORT", "29500")
    Processes()
    Processes()
    [record] = caplog.records
    assert "the launcher started only one process" in record.getMessage()


def test_synchronised_batch_statistics_need_several_gpus(tmp_path, make_config):
    hardware = "a single GPU" if torch.cuda.is_available() else "a CPU"
    with pytest.raises(
        ConfigError, match=f"`sync_batchnorm`: needs several GPUs, but this run has {hardware}; leave it out"
    ):
        train(make_config(tmp_path / "run", sync_batchnorm=True), show_progress=False)
    assert not (tmp_path / "run").exists()


def test_synchronised_batch_statistics_keep_names_values_and_scores():
    model = build_model("lite", bands=Bands(sar=("VV", "VH"), optical=()))
    layers = sum(isinstance(layer, nn.BatchNorm2d) for layer in model.modules())
    values, sar = {key: value.clone() for key, value in model.state_dict().items()}, torch.randn(1, 2, 32, 32)
    with torch.no_grad():
        logits = model.eval()(sar, None)
        converted = with_synchronised_batchnorm(model)
        assert torch.equal(converted.eval()(sar, None), logits)
    assert sum(isinstance(layer, nn.SyncBatchNorm) for layer in converted.modules()) == layers > 10
    assert not any(isinstance(layer, nn.BatchNorm2d) for layer in converted.modules())
    after = converted.state_dict()
    assert after.keys() == values.keys()
    assert all(torch.equal(after[key], value) for key, value in values.items())


@pytest.mark.parametrize(("before", "after"), [(4, 2), (2, 5), (3, 3)])
def test_rescaled_schedule_continues_at_the_same_fraction_of_the_run(before, after):
    optimizer = torch.optim.AdamW(nn.Linear(1, 1).parameters())
    schedule = new_schedule(optimizer, CONFIG.optim, before)
    optimizer.step()
    for _ in range(2 * before):
        schedule.step()
    here = schedule.get_last_lr()[0]
    rescale_schedule(schedule, CONFIG.optim, after, epochs_done=2)
    assert (schedule.last_epoch, schedule.total_steps) == (2 * after, EPOCHS * after)
    if before == after:
        assert schedule.get_last_lr()[0] == here
    assert optimizer.param_groups[0]["lr"] == schedule.get_last_lr()[0]
    left = []
    while schedule.last_epoch < schedule.total_steps - 1:
        schedule.step()
        left.append(schedule.get_last_lr()[0])
    assert len(left) == 2 * after - 1
    assert math.isclose(left[-1], CONFIG.optim.lr / 25 / 1e4)
