"""Tests of the command line: calls of public functions, output and exit codes."""

import errno
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import pytest

import floodseg
from floodseg.app import cli
from floodseg.config.data import DataConfig
from floodseg.config.evaluate import ScoreConfig
from floodseg.errors import DataError
from floodseg.evaluation.evaluate import Evaluation
from floodseg.models.checkpoint import zoo as shipped
from floodseg.models.checkpoint.checkpoint import save_folder
from floodseg.models.registry import build_model


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The calls that reach the training function."""
    calls: list[dict[str, Any]] = []
    monkeypatch.setattr(
        "floodseg.training.train.train", lambda config, **flags: calls.append({"config": config, **flags})
    )
    return calls


def run(*arguments: str) -> Any:
    """Run the command line and return its exit code."""
    with pytest.raises(SystemExit) as stop:
        cli.main(list(arguments))
    return stop.value.code


def raising(error: BaseException) -> Callable[..., NoReturn]:
    def fail(*_: Any, **__: Any) -> NoReturn:
        raise error

    return fail


def one_line(captured: str) -> str:
    """Return the one line on stderr; a traceback or a picture of an error has more."""
    assert captured.startswith("floodseg: error: ")
    assert captured.count("\n") == 1
    return captured.removeprefix("floodseg: error: ").rstrip()


@pytest.mark.parametrize(
    ("flags", "resume", "overwrite"), [([], False, False), (["--resume"], True, False), (["--overwrite"], False, True)]
)
def test_train_calls_the_function_once(
    trained: list[dict[str, Any]], flags: list[str], resume: bool, overwrite: bool
) -> None:
    assert run("train", "--layout", "synthetic", "--lr", "1e-3", *flags) == 0
    (call,) = trained
    assert call["config"].data.layout == "synthetic"
    assert call["config"].optim.lr == 1e-3
    assert (call["resume"], call["overwrite"]) == (resume, overwrite)


@pytest.mark.usefixtures("trained")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "--epohcs", "3"], "Unknown option: --epohcs. Did you mean --epochs?"),
        (["train", "--batch_sise", "3"], "Did you mean --batch-size?"),
        (["train", "--epochs", "many"], 'Invalid value for --epochs: unable to convert "many" into int'),
        (["train", "--epochs", "2.5"], 'Invalid value for --epochs: unable to convert "2.5" into int'),
        (["train", "--lr", "fast"], "--lr"),
        (["train", "--epochs"], "--epochs"),
        (["train", "--model", "efficiant"], 'Did you mean "efficient"?'),
        (["train", "--layout", "zip"], 'Choose from: "sen1floods11", "ombria", "folders", "synthetic"'),
        (["train", "--epochs", "0"], "--epochs 0: must be at least 1"),
        (["train", "--cloud", "2"], "--cloud 2.0: must be from 0 to 1"),
        (["train", "--epochs", "2", "run.toml"], "run.toml"),
        (
            ["train", "nosuch.toml"],
            "nosuch.toml: no such run file; use a TOML file whose keys are the names of the options of",
        ),
        (["evaluate"], "model"),
        (["evaluate", "nosuch"], "model 'nosuch': is neither a shipped model"),
        (["evaluate", "otsu", "--epochs", "2"], "--epochs"),
        (["evaluat", "otsu"], 'Did you mean "evaluate"?'),
        (["models", "lite"], "unexpected argument lite; leave it out"),
    ],
)
def test_wrong_arguments_print_one_sentence_and_exit_with_2(
    capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert run(*arguments) == 2
    assert message in one_line(capsys.readouterr().err)


@pytest.mark.usefixtures("trained")
@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("batchsize = 4", 'Unknown option: "[batchsize]" from {file}. Did you mean --batch-size?'),
        ("[optim]\nepochs = 3", '"[optim][epochs]" from {file}'),
        ("[data]\nlayout = 'synthetic'", '"[data][layout]" from {file}'),
        ("models = 'lite'", 'Unknown option: "[models]" from {file}. Did you mean --model?'),
        ("train = true", 'Unknown option: "[train]" from {file}'),
        ("resume = true", "{file}: key 'resume' is not allowed in a run file; use the flag --resume"),
        ("overwrite = false", "{file}: key 'overwrite' is not allowed in a run file; use the flag --overwrite"),
        ("no-flips = true", "{file}: unknown key 'no-flips'"),
        ("no_resume = true", "{file}: unknown key 'no_resume'"),
        ("epochs = 'many'", 'Invalid value for [epochs] from {file}: unable to convert "many" into int'),
        ("epochs = 3.5", 'Invalid value for [epochs] from {file}: unable to convert "3.5" into int'),
        ("epochs = [3, 4]", "epochs"),
        ("flips = 'perhaps'", 'from {file}: unable to convert "perhaps" into bool'),
        ("model = 'efficiant'", 'for [model] from {file}. Choose from: "efficient", "baseline", "lite", "spectral".'),
        ("epochs = 0", "--epochs 0: must be at least 1"),
        ("epochs = [1", "{file}: is not a TOML file (Unclosed array"),
        ("epochs = 1\nepochs = 2", "{file}: is not a TOML file"),
        (b"\xff\xfe", "{file}: is not a TOML file"),
    ],
)
def test_wrong_run_files_are_refused(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, content: str | bytes, message: str
) -> None:
    file = tmp_path / "run.toml"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    assert run("train", str(file)) == 2
    assert message.format(file=file) in one_line(capsys.readouterr().err)


def test_library_errors_print_their_message(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    error = DataError("chips/a.tif: has no band names; name them")
    monkeypatch.setattr("floodseg.training.train.train", raising(error))
    assert run("train") == 2
    assert one_line(capsys.readouterr().err) == str(error)


def test_interruption_exits_with_130(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("floodseg.training.train.train", raising(KeyboardInterrupt()))
    assert run("train") == 130


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS, errno.ENOTDIR])
def test_write_errors_exit_with_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], code: int
) -> None:
    monkeypatch.setattr("floodseg.training.train.train", raising(OSError(code, "cannot write", "runs/x/best.pth")))
    assert run("train") == 2
    assert one_line(capsys.readouterr().err).startswith("runs/x/best.pth: cannot write; free space")


def test_json_path_must_not_be_a_folder(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    document = {"water_iou": 0.5}
    monkeypatch.setattr("floodseg.evaluation.evaluate.evaluate", lambda *_, **__: Evaluation(document, {}, []))
    monkeypatch.setattr("floodseg.app.reports.evaluation.print_evaluation", lambda _: None)
    assert run("evaluate", "otsu", "--json", str(tmp_path)) == 2
    assert one_line(capsys.readouterr().err).startswith(f"--json {tmp_path}: cannot be written (Is a directory); ")


@pytest.mark.parametrize("defect", [ZeroDivisionError(), OSError(errno.EBADF, "bad"), RuntimeError("shape")])
def test_internal_errors_keep_their_traceback(monkeypatch: pytest.MonkeyPatch, defect: Exception) -> None:
    # an exception that leaves main makes the interpreter print it and exit with 1
    monkeypatch.setattr("floodseg.training.train.train", raising(defect))
    with pytest.raises(type(defect)) as caught:
        cli.main(["train"])
    assert caught.value is defect


def test_arguments_come_from_the_shell_by_default(
    monkeypatch: pytest.MonkeyPatch, trained: list[dict[str, Any]]
) -> None:
    monkeypatch.setattr(sys, "argv", ["floodseg", "train", "--seed", "5"])
    with pytest.raises(SystemExit):
        cli.main()
    assert trained[0]["config"].optim.seed == 5


@pytest.mark.parametrize("command", [[], ["train"], ["evaluate"], ["models"]])
def test_help_is_printed(capsys: pytest.CaptureFixture[str], command: list[str]) -> None:
    assert run(*command, "--help") == 0
    shown = capsys.readouterr().out
    assert "Usage: floodseg" in shown
    if command == ["train"]:
        assert all(
            flag in shown for flag in ("--batch-size", "--optical-bands", "--out-dir", "--resume", "RUN.toml [OPTIONS]")
        )


def _help(capsys: pytest.CaptureFixture[str], *command: str) -> str:
    """Return the help of a command as words, without the frames of its tables."""
    assert run(*command, "--help") == 0
    return " ".join(word for word in capsys.readouterr().out.split() if word.strip("│─╭╮╰╯"))


def test_help_of_export_says_which_precisions_need_data(capsys: pytest.CaptureFixture[str]) -> None:
    shown = _help(capsys, "export")
    assert "Folder of the data set on which an int8 model is calibrated and scored." in shown
    assert (
        "The parity check of an fp32 or bf16 model uses simulated images, and this data set too if --data is set."
        in shown
    )
    assert "Folder of the data set. By default the subfolder" in _help(capsys, "train")


def test_setting_of_training_is_neither_shown_nor_accepted_in_inference(capsys: pytest.CaptureFixture[str]) -> None:
    assert "--memory-batch-size" in _help(capsys, "benchmark", "train")
    assert "--memory-batch-size" not in _help(capsys, "benchmark", "infer")
    assert run("benchmark", "infer", "--memory-batch-size", "4") == 2
    expected = "floodseg: error: --memory-batch-size 4: has no effect on inference; leave it out\n"
    assert capsys.readouterr().err == expected


def test_a_removed_flag_is_refused_with_what_replaces_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("predict", "--sar", "s1.tif", "--write-sensor-weights", "--out-dir", "out") == 2
    expected = (
        "floodseg: error: --write-sensor-weights was removed: summary.json holds the share of pixels that each sensor "
        "decided; leave it out\n"
    )
    assert capsys.readouterr().err == expected


def _scores(water_iou: float | None) -> dict[str, Any]:
    ratios = dict.fromkeys(("water_iou_per_chip_mean", "miou", "f1", "precision", "recall", "ece"), water_iou)
    return {"water_iou": water_iou, **ratios, "water_iou_ci95": None, "n_chips_counted": 2}


def _evaluation(name: str) -> Evaluation:
    head = {"split": "test", "sensors": "sar", "n_chips": 3, "n_pixels": 12345, "threshold": None}
    document = {"model": name, **head, **_scores(0.625), "events": {"Ghana": _scores(None)}, "calibration": None}
    floor = {"model": "otsu", **head, **_scores(0.25), "events": {"Ghana": _scores(0.125)}}
    return Evaluation(document, {"otsu": floor}, [])


def test_evaluate_prints_and_writes_the_scores(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    calls: list[tuple[Any, dict[str, Any]]] = []

    def evaluate(method: Any, **arguments: Any) -> Evaluation:
        calls.append((method, arguments))
        return _evaluation("otsu")

    monkeypatch.setattr("floodseg.evaluation.evaluate.evaluate", evaluate)
    monkeypatch.setenv("COLUMNS", "160")
    monkeypatch.chdir(tmp_path)  # the folder of pictures is created here
    file = tmp_path / "new" / "scores.json"
    flags = ["--data", "chips", "--layout", "folders", "--split", "test", "--json", str(file), "--out-dir", "out"]
    assert run("evaluate", "otsu", *flags) == 0
    ((method, arguments),) = calls
    assert method == "otsu"
    assert arguments["config"] == DataConfig(data=Path("chips"), layout="folders")
    assert (arguments["split"], arguments["out_dir"]) == ("test", Path("out"))
    written = json.loads(file.read_text())
    assert written.pop("references") == _evaluation("otsu").references
    assert written == _evaluation("otsu").document
    shown = capsys.readouterr().out
    assert "otsu on split test, sensors sar: 2 of 3 chips counted, 12,345 pixels, threshold -" in shown
    assert "0.625" in shown
    (row,) = [line for line in shown.splitlines() if "Ghana" in line]
    assert row.replace("│", " ").split() == ["Ghana", "2", "-", "-", "-", "0.125"]


def test_cloud_covers_are_separated_by_commas_or_spaces(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[ScoreConfig] = []

    def evaluate(_: Any, **arguments: Any) -> Evaluation:
        asked.append(arguments["scoring"])
        return _evaluation("x")

    monkeypatch.setattr("floodseg.evaluation.evaluate.evaluate", evaluate)
    for covers in (["0,0.25,1"], ["0", "0.25", "1"], ["0,0.25", "1"]):
        assert run("evaluate", "ndwi", "--cloud", *covers, "--cloud-mask-quality", "none") == 0
    assert asked == [ScoreConfig(cloud=(0.0, 0.25, 1.0), cloud_mask_quality="none")] * 3
    assert run("evaluate", "ndwi", "--cloud", "0,half") == 2
    assert run("evaluate", "ndwi", "--threshold", "0.3") == 0
    assert asked[-1] == ScoreConfig(threshold=0.3)


def test_evaluate_accepts_a_folder_of_weights(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    save_folder(tmp_path / "weights", build_model("lite", sar_channels=2, optical_channels=0))
    chips = ["--layout", "synthetic", "--synthetic-chips", "2", "--synthetic-size", "32"]
    assert run("evaluate", str(tmp_path / "weights"), *chips, "--json", str(tmp_path / "scores.json")) == 0
    assert json.loads((tmp_path / "scores.json").read_text())["model"] == str(tmp_path / "weights")
    assert "weights on split valid, sensors sar" in capsys.readouterr().out


def test_models_lists_architectures_and_weights(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    model = build_model("lite", sar_channels=2, optical_channels=0)
    model.provenance.training = {"licence": "CC-BY-4.0", "data": "simulated chips"}
    model.provenance.scores = {"valid": {"water_iou": 0.6251}}
    save_folder(tmp_path / "s9-lite", model)
    monkeypatch.setattr(shipped, "WEIGHTS", tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    assert run("models") == 0
    shown = capsys.readouterr().out
    rows = {name: next(line for line in shown.splitlines() if name in line) for name in ("efficient", "baseline")}
    assert "resnet34" in rows["efficient"]
    assert "resnet50" in rows["baseline"]
    parameters = float(rows["baseline"].split(" M ")[0].split()[-1])
    assert 41 <= parameters <= 47
    weights = shown[shown.index("s9-lite") :]
    size = sum(parameter.numel() for parameter in model.parameters()) / 1e6
    for fact in ("lite", f"{size:.2f} M", "takes radar VV VH", "0.625", "CC-BY-4.0", "simulated chips"):
        assert fact in weights


def test_models_prints_what_the_function_returns(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("models", "--json") == 0
    assert json.loads(capsys.readouterr().out) == floodseg.list_models()


def test_a_closed_pipe_ends_a_command_without_a_message() -> None:
    """As in ``floodseg models | head -1``, whether the text fails at once or waits in the buffer."""
    for size in (2, 100_000):
        program = f"from floodseg.app.exit_codes import run_and_exit; run_and_exit(lambda: print('x' * {size}))"
        reader, writer = os.pipe()
        os.close(reader)
        done = subprocess.run([sys.executable, "-c", program], stdout=writer, stderr=subprocess.PIPE, check=False)
        os.close(writer)
        assert (done.returncode, done.stderr) == (1, b"")


def test_a_broken_pipe_other_than_standard_output_is_an_internal_error() -> None:
    program = "from floodseg.app.exit_codes import run_and_exit\ndef fail(): raise BrokenPipeError\nrun_and_exit(fail)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "BrokenPipeError" in done.stderr


def test_models_prints_parts_times_and_intervals(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("models") == 0
    shown = capsys.readouterr().out
    assert "fuses s1-efficient (radar) and s2 (optical)" in shown
    assert "takes radar VV VH and optical B02 B03 B04 B08 B11 B12" in shown
    assert "water IoU on valid: 0.682 (95 % interval 0.598 to 0.740)" in shown
    assert "mapping time: 1.00 times that of s1-lite" in shown


def test_deeply_nested_run_file_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "run.toml"
    file.write_text("epochs = " + "[" * 5000)
    with pytest.raises(SystemExit) as stop:
        cli.main(["train", str(file)])
    assert stop.value.code == 2
    assert capsys.readouterr().err.startswith(f"floodseg: error: {file}: is not a TOML file (")
