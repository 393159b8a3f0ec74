"""``floodseg predict-many`` with a cluster that is this process: what is mapped, kept, refused and told."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from floodseg.app import cli
from floodseg.cluster import many, tasks
from floodseg.errors import FolderInUseError
from floodseg.system.files import locked_folder
from many_runs import assert_same, write_list
from scenes import write_optical

from .fake_dask import FakeClient


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> FakeClient:
    fake = FakeClient()
    monkeypatch.setattr(many, "connected", fake.connect)
    return fake


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_list(tmp_path_factory.mktemp("list"), 2, 100).parent


@pytest.fixture
def scenes(prepared: Path, tmp_path: Path) -> Path:
    """Two scenes, their own to spoil."""
    shutil.copytree(prepared, tmp_path / "list")
    return tmp_path / "list/scenes.csv"


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], tmp_path: Path, scenes: Path, client: FakeClient) -> Any:
    """Return a function that runs the command and returns exit code, output and errors in single spaces."""

    def command(*arguments: object, out: str = "out") -> tuple[Any, str, str]:
        capsys.readouterr()
        given = ["predict-many", scenes, "--out-dir", tmp_path / out, "--threads", "1", *arguments]
        with pytest.raises(SystemExit) as stop:
            cli.main([str(argument) for argument in given])
        said = capsys.readouterr()
        return stop.value.code, said.out, said.err

    return command


def test_scenes_are_mapped_once(run, client, tmp_path):
    code, output, _ = run()
    assert code == 0
    assert output.startswith("2 scenes mapped, 0 finished before, in ")
    assert f"{tmp_path / 'out/collection.json'}  STAC collection over all finished scenes" in output
    first = {path: path.stat().st_mtime_ns for path in (tmp_path / "out/scenes").glob("*/*")}
    assert len(client.calls) == 2
    code, output, _ = run()
    assert (code, len(client.calls)) == (0, 2), "nothing is given to a worker"
    assert output.startswith("0 scenes mapped, 2 finished before, in ")
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out/scenes").glob("*/*")} == first
    summary = json.loads((tmp_path / "out/scenes/scene-0/summary.json").read_text())
    assert [name.split()[0] for name in summary["content"]["inputs"]["sar"]] == ["s0.tif"]
    assert json.loads((tmp_path / "out/scenes/scene-0/item.json").read_text())["id"] == "scene-0"
    report = json.loads((tmp_path / "out/report.json").read_text())
    assert (report["scenes"], report["mapped"], report["kept"], report["failed"]) == (2, 0, 2, {})
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "collection.json", "flood.vrt", "index.parquet", "report.json", "scenes", "water_probability.vrt",
    ]  # fmt: skip


def test_a_scene_in_parts_has_the_products_of_the_whole(run, client, tmp_path):
    assert run("--tile-size", "64", "--overlap", "0")[0] == 0
    assert run("--tile-size", "64", "--overlap", "0", "--split-rows", "1", out="split")[0] == 0
    assert [name for name, _, _ in client.calls].count("map_part") == 4
    assert_same(tmp_path / "split", tmp_path / "out")


def test_a_reference_method_is_a_model_and_a_folder_of_its_name_is_not(run, client, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "otsu").mkdir()
    assert run("--model", "otsu", "--split-rows", "1")[0] == 0
    assert json.loads((tmp_path / "out/scenes/scene-1/summary.json").read_text())["model"] == "otsu"
    assert run("--model", "otsu")[1].startswith("0 scenes mapped, 2 finished before")
    assert run("--model", "s1-lite")[0] == 2


def test_what_fails_is_told_at_the_end_and_mended_by_the_same_command(run, client, scenes, tmp_path):
    whole = (scenes.parent / "s0.tif").read_bytes()
    (scenes.parent / "s0.tif").write_bytes(whole[:3000])
    code, output, errors = run("--retries", "1")
    assert code == 3
    assert output.startswith("1 scenes mapped, 0 finished before")
    reason, sentence = errors.splitlines()
    assert reason.startswith(f"failed scene-0: {scenes.parent}/s0.tif: ")
    assert sentence == (
        f"floodseg: error: 1 of 2 scenes could not be mapped, for the reasons above and in {tmp_path}/out/report.json: "
        "mend them, and give the same command again"
    )
    assert [scene for _, scene, _ in client.calls] == ["scene-0", "scene-1", "scene-0"]
    assert json.loads((tmp_path / "out/report.json").read_text())["failed"].keys() == {"scene-0"}
    (scenes.parent / "s0.tif").write_bytes(whole)
    code, output, _ = run()
    assert code == 0
    assert output.startswith("1 scenes mapped, 1 finished before, in ")


def test_other_settings_need_overwrite(run, client, tmp_path):
    run()
    code, _, errors = run("--threshold", "0.3")
    assert code == 2
    assert errors == (
        f"floodseg: error: {tmp_path}/out: 2 of the scenes (scene-0, scene-1) were finished with another model or "
        "other settings: add --overwrite, or give another --out-dir\n"
    )
    assert run("--threshold", "0.3", "--overwrite")[0] == 0
    assert json.loads((tmp_path / "out/scenes/scene-1/summary.json").read_text())["threshold"] == 0.3


def test_an_input_that_changed_needs_overwrite_and_one_that_was_touched_does_not(run, client, scenes, tmp_path):
    run()
    (scenes.parent / "s0.tif").touch()
    code, output, _ = run()
    assert (code, output.split(",")[0]) == (0, "0 scenes mapped")
    shutil.copy(scenes.parent / "s1.tif", scenes.parent / "s0.tif")
    code, _, errors = run("--retries", "0")
    assert code == 3
    assert errors.startswith(
        f"failed scene-0: {tmp_path}/out/scenes/scene-0: holds products of other inputs, of another model or of other "
        "settings: add --overwrite, or give another --out-dir\n"
    )
    assert run("--overwrite")[0] == 0


def test_what_no_scene_can_follow_is_refused_before_any_is_mapped(run, client, scenes, tmp_path):
    write_optical(scenes.parent / "optical.tif")
    scenes.write_text("id,sar,optical\na,s0.tif,\nb,s1.tif,optical.tif\n")
    code, _, errors = run()
    assert code == 2
    assert errors.startswith(f"floodseg: error: {scenes}, scene 'b': --optical {scenes.parent}/optical.tif: model ")
    assert "takes no optical image" in errors
    assert client.calls == []
    assert not (tmp_path / "out").exists()


def test_a_folder_in_use_is_refused(run, tmp_path):
    with locked_folder(tmp_path / "out"):
        code, _, errors = run()
    assert code == 2
    assert "another run writes its products there: wait for it, or give another --out-dir" in errors


def test_a_scene_folder_in_use_is_waited_for(run, client, tmp_path, monkeypatch):
    monkeypatch.setattr("floodseg.cluster.driver._BUSY_PAUSE_S", 0.01)
    real, asked = tasks._content, []

    def busy_once(task: Any) -> Any:
        asked.append(task.id)
        if len(asked) == 1:
            raise FolderInUseError("another run")
        return real(task)

    monkeypatch.setattr(tasks, "_content", busy_once)
    code, _, _ = run("--retries", "0")
    assert (code, asked) == (0, ["scene-0", "scene-1", "scene-0"])


def test_a_worker_with_another_floodseg_or_model_says_so(run, monkeypatch):
    monkeypatch.setattr(tasks, "_runtimes", {})
    monkeypatch.setattr(tasks, "versions", lambda: {"floodseg": "9.9"})
    code, _, errors = run("--retries", "0")
    assert code == 3
    assert "has floodseg 9.9, and the run was started by 0.1.0: install the same" in errors


def test_a_defect_in_one_scene_is_told_with_its_place_and_stops_no_other(run, monkeypatch, caplog):
    real = tasks._content

    def broken(task: Any) -> Any:
        if task.id == "scene-0":
            raise ZeroDivisionError("by zero")
        return real(task)

    monkeypatch.setattr(tasks, "_content", broken)
    code, output, errors = run("--retries", "0")
    assert code == 3
    assert output.startswith("1 scenes mapped")
    assert "failed scene-0: a defect of floodseg, ZeroDivisionError: by zero" in errors
    assert "Traceback" in caplog.text


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--cluster", "local:0"], "--cluster local:0: must be local:N, N workers on this machine, or tcp://HOST:PORT"),
        (["--cluster", "http://host:8786"], "must be local:N"),
        (["--cluster", "tcp://host:8786", "--memory-gb", "4"], "--memory-gb 4.0: must be left out with tcp://"),
        (["--memory-gb", "0.1"], "--memory-gb 0.1: must be at least 1"),
        (["--split-rows", "0"], "--split-rows 0: must be at least 1"),
        (["--retries", "-1"], "--retries -1: must be 0 or more"),
        (["--model", "none"], "model 'none': is neither a shipped model"),
    ],
)
def test_wrong_flags_are_named(run, flags, message):
    code, _, errors = run(*flags)
    assert code == 2
    assert message in errors
