"""Tests of ``floodseg predict-many``, with scenes mapped one by one in this process."""

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from floodseg.app import cli
from floodseg.cluster import many, tasks
from floodseg.cluster.model_files import identify_model
from floodseg.cluster.scene_list import NamedScene
from floodseg.config.predict import MapConfig, SceneConfig
from floodseg.errors import ConfigError
from floodseg.scene.clouds import hide_clouds
from floodseg.system import extras
from floodseg.system.files import locked_folder
from many_runs import map_one_by_one, write_list
from scenes import optical_values, write_optical


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_list(tmp_path_factory.mktemp("list"), 2, 32).parent


@pytest.fixture
def scenes(prepared: Path, tmp_path: Path) -> Path:
    """List of two scenes that a test may modify."""
    shutil.copytree(prepared, tmp_path / "list")
    return tmp_path / "list/scenes.csv"


@pytest.fixture
def connections(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Map scenes one by one in this process, and return the list of requested clusters."""
    asked: list[str] = []

    def map_scenes(listed: Any, run: Any, config: Any) -> Any:
        asked.append(config.cluster)
        return map_one_by_one(listed, run, config)

    monkeypatch.setattr(many, "map_scenes", map_scenes)
    return asked


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], tmp_path: Path, scenes: Path, connections: list[str]) -> Any:
    """Return a function that runs the command and returns exit code, stdout and stderr."""

    def command(*arguments: object) -> tuple[Any, str, str]:
        capsys.readouterr()
        model = [] if "--model" in arguments else ["--model", "otsu"]
        given = ["predict-many", scenes, "--out-dir", tmp_path / "out", "--threads", "1", *model, *arguments]
        with pytest.raises(SystemExit) as stop:
            cli.main([str(argument) for argument in given])
        printed = capsys.readouterr()
        return stop.value.code, printed.out, printed.err

    return command


def test_finished_scenes_are_not_mapped_again(run, connections, tmp_path):
    code, output, _ = run()
    assert code == 0
    assert re.match(r"2 scenes mapped in \d+ s \(\d+\.\d\d megapixels/s\); 0 were already finished\n", output)
    assert f"{tmp_path / 'out/collection.json'}  STAC collection of all finished scenes" in output
    first = {path: path.stat().st_mtime_ns for path in (tmp_path / "out/scenes").glob("*/*")}
    assert connections == ["local:1"]
    code, output, _ = run()
    assert (code, connections) == (0, ["local:1"]), "no cluster is started for finished scenes"
    assert re.match(r"0 scenes mapped in \d+ s; 2 were already finished\n", output)
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out/scenes").glob("*/*")} == first
    summary = json.loads((tmp_path / "out/scenes/scene-0/summary.json").read_text())
    assert [name.split()[0] for name in summary["content"]["inputs"]["sar"]] == ["s0.tif"]
    assert json.loads((tmp_path / "out/scenes/scene-0/item.json").read_text())["id"] == "scene-0"
    report = json.loads((tmp_path / "out/report.json").read_text())
    assert (report["scenes"], report["mapped"], report["kept"], report["failed"]) == (2, 0, 2, {})
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "collection.json", "flood.qml", "flood.vrt", "index.parquet", "report.json", "scenes",
        "water_probability.qml", "water_probability.vrt",
    ]  # fmt: skip


def test_classical_baseline_takes_precedence_over_a_folder_of_its_name(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "otsu").mkdir()
    assert run("--model", "otsu")[0] == 0
    assert json.loads((tmp_path / "out/scenes/scene-1/summary.json").read_text())["model"] == "otsu"
    assert run("--model", "s1-lite")[0] == 2


def test_failed_scenes_are_reported_and_mapped_by_the_next_run(run, scenes, tmp_path):
    whole = (scenes.parent / "s0.tif").read_bytes()
    (scenes.parent / "s0.tif").write_bytes(whole[:3000])
    code, output, errors = run("--retries", "1")
    assert code == 3
    assert re.match(r"1 scenes mapped in \d+ s \(\d+\.\d\d megapixels/s\); 0 were already finished\n", output)
    reason, sentence = errors.splitlines()
    assert reason.startswith(f"failed scene-0: {scenes.parent}/s0.tif: ")
    assert sentence == (
        f"floodseg: error: 1 of 2 scenes could not be mapped, for the reasons above and in {tmp_path}/out/report.json; "
        "correct the scenes, and run the same command again"
    )
    assert json.loads((tmp_path / "out/report.json").read_text())["failed"].keys() == {"scene-0"}
    (scenes.parent / "s0.tif").write_bytes(whole)
    code, output, _ = run()
    assert code == 0
    assert re.match(r"1 scenes mapped in \d+ s \(\d+\.\d\d megapixels/s\); 1 were already finished\n", output)


def test_other_settings_need_overwrite(run, tmp_path):
    run()
    code, _, errors = run("--min-area", "300")
    assert code == 2
    assert errors == (
        f"floodseg: error: {tmp_path}/out: 2 of the scenes (scene-0, scene-1) were finished with another model or "
        "other settings; set --overwrite or another --out-dir\n"
    )
    assert run("--min-area", "300", "--overwrite")[0] == 0
    assert json.loads((tmp_path / "out/scenes/scene-1/summary.json").read_text())["settings"]["min_area"] == 300


def test_only_changed_inputs_need_overwrite(run, scenes, tmp_path):
    run()
    (scenes.parent / "s0.tif").touch()
    code, output, _ = run()
    assert (code, output.split(" in ")[0]) == (0, "0 scenes mapped")
    shutil.copy(scenes.parent / "s1.tif", scenes.parent / "s0.tif")
    code, _, errors = run("--retries", "0")
    assert code == 3
    assert errors.startswith(
        f"failed scene-0: {tmp_path}/out/scenes/scene-0: holds products that were made from other files, with "
        "another model or with other settings; set --overwrite or another --out-dir\n"
    )
    assert run("--overwrite")[0] == 0


def test_wrong_scene_is_refused_before_mapping(run, connections, scenes, tmp_path):
    write_optical(scenes.parent / "optical.tif")
    scenes.write_text("id,sar,optical\na,s0.tif,\nb,s1.tif,optical.tif\n")
    code, _, errors = run()
    assert code == 2
    assert errors.startswith(f"floodseg: error: {scenes}, scene 'b': --optical {scenes.parent}/optical.tif: model ")
    assert "takes no optical image" in errors
    assert connections == []
    assert not (tmp_path / "out").exists()


def test_folder_in_use_is_refused(run, tmp_path):
    with locked_folder(tmp_path / "out"):
        code, _, errors = run()
    assert code == 2
    assert "another run writes its products there; wait for it, or set another --out-dir" in errors


def test_worker_with_another_version_fails(run, monkeypatch):
    tasks._open_model.cache_clear()
    monkeypatch.setattr(tasks, "versions", lambda: {"floodseg": "9.9"})
    code, _, errors = run("--retries", "0")
    assert code == 3
    assert "has floodseg 9.9, but the run was started with 0.1.0; install the same version" in errors


@pytest.mark.slow
def test_local_worker_process_maps(start, scenes, tmp_path):
    process = start(scenes, "--out-dir", tmp_path / "out", "--model", "otsu")
    output, errors = process.communicate(timeout=120)
    assert (process.returncode, output.split(" in ")[0]) == (0, "2 scenes mapped"), errors
    assert (tmp_path / "out/scenes/scene-0/flood.tif").exists()


def test_warnings_of_a_worker_are_logged_with_the_scene(run, scenes, caplog):
    text = scenes.read_text().splitlines()[1].rpartition(",")[0]
    scenes.write_text(f"id,sar\n{text}\n")
    assert run()[0] == 0
    assert any(record.getMessage().startswith("scene-0: ") for record in caplog.records)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--cluster", "local:0"], "--cluster local:0: must be local:N (N workers on this machine) or tcp://HOST:PORT"),
        (["--cluster", "http://host:8786"], "must be local:N"),
        (["--cluster", "tcp://host:8786", "--memory-gb", "4"], "--memory-gb 4.0: has no effect with --cluster tcp"),
        (["--memory-gb", "0.1"], "--memory-gb 0.1: must be at least 1"),
        (["--split-rows", "2"], "--split-rows was removed: each scene is mapped by one worker"),
        (["--split_rows=2"], "--split-rows was removed"),
        (["--retries", "-1"], "--retries -1: must be 0 or more"),
        (["--model", "none"], "model 'none': is neither a shipped model"),
    ],
)
def test_wrong_flags_are_refused(run, flags, message):
    code, _, errors = run(*flags)
    assert code == 2
    assert message in errors


@pytest.mark.parametrize(("images", "model"), [("sar", "s1-efficient"), ("optical", "s2"), ("mixed", "s1s2")])
def test_auto_takes_one_model_for_all_scenes(run, scenes, tmp_path, images, model):
    write_optical(scenes.parent / "s2.tif", optical_values(32, 32))
    sar, optical = ("", "s2.tif") if images == "optical" else ("s0.tif", "")
    second = "s1.tif,s2.tif" if images == "mixed" else f"{sar},{optical}"
    scenes.write_text(f"id,sar,optical,datetime\na,{sar},{optical},2024-01-01\nb,{second},2024-01-02\n")
    assert run("--model", "auto")[0] == 0
    summaries = [json.loads((tmp_path / f"out/scenes/{name}/summary.json").read_text()) for name in "ab"]
    assert [each["model"] for each in summaries] == [model, model]
    words = {"sar": "radar images alone", "optical": "optical images alone", "mixed": "radar and optical images"}
    assert summaries[0]["model_choice"] == f"auto: the list of scenes has {words[images]}"
    if images == "mixed":
        assert summaries[0]["sensor_shares"] == {"sar": 1.0, "optical": 0.0, "both": 0.0}


def test_clouds_are_searched_scene_by_scene_as_its_settings_say(run, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(hide_clouds, "csmask_is_installed", lambda: False)
    bands = ("B02", "B03", "B08", "B11")
    reflectance = np.full((4, 60, 60), 0.08, np.float32)
    reflectance[:, :15] = 0.4
    write_optical(tmp_path / "list/s2.tif", reflectance, names=bands)
    rows = "id,optical,datetime,cloud_mask,optical_offset\nfound,s2.tif,2024-01-01,,0\nclear,s2.tif,2024-01-01,none,0\n"
    (tmp_path / "list/scenes.csv").write_text(rows)
    code, _, errors = run("--model", "ndwi")
    assert code == 0, errors
    assert any("found: " in text and "thin clouds may remain" in text for text in caplog.messages)
    summaries = {
        name: json.loads((tmp_path / f"out/scenes/{name}/summary.json").read_text()) for name in ("found", "clear")
    }
    assert {name: summary["valid_share"] for name, summary in summaries.items()} == {"found": 0.75, "clear": 1}
    assert {name: summary["settings"]["cloud_mask"] for name, summary in summaries.items()} == {
        "found": "auto", "clear": "none",
    }  # fmt: skip
    assert "25.0 % of the optical pixels are hidden as clouds, by brightness" in summaries["found"]["assumptions"]
    found = extras.find_spec
    monkeypatch.setattr(
        extras, "find_spec", lambda name: None if name in ("ukis_csmask", "onnxruntime") else found(name)
    )
    (tmp_path / "list/scenes.csv").write_text("id,optical,cloud_mask\na,s2.tif,csmask\n")
    code, _, errors = run("--model", "ndwi")
    assert code == 2
    assert "scene 'a': --cloud-mask csmask needs ukis_csmask and onnxruntime, which are not installed; pip" in errors


def test_after_the_extra_clouds_is_installed_finished_scenes_are_not_taken_for_current(run, tmp_path, monkeypatch):
    write_optical(tmp_path / "list/s2.tif", np.full((2, 60, 60), 0.08, np.float32), names=("B03", "B08"))
    rows = "id,optical,datetime,optical_offset\na,s2.tif,2024-01-01,0\n"
    (tmp_path / "list/scenes.csv").write_text(rows)
    for module in (many, tasks):
        monkeypatch.setattr(module, "csmask_is_installed", lambda: False)
    assert run("--model", "ndwi")[0] == 0
    for module in (many, tasks):
        monkeypatch.setattr(module, "csmask_is_installed", lambda: True)
    code, _, errors = run("--model", "ndwi")
    assert code == 2
    assert "were finished with another model or other settings; set --overwrite" in errors
    assert run("--model", "ndwi", "--overwrite")[0] == 0


def test_a_worker_that_finds_clouds_in_another_way_is_refused(tmp_path, monkeypatch):
    write_optical(tmp_path / "s2.tif", np.full((2, 60, 60), 0.08, np.float32), names=("B03", "B08"))
    scene = NamedScene("a", SceneConfig(optical=str(tmp_path / "s2.tif"), optical_offset=0))
    identity = replace(identify_model("ndwi", MapConfig()), csmask=True)
    batch = tasks.BatchRun(tmp_path / "out", "ndwi", identity, MapConfig(), overwrite=False)
    monkeypatch.setattr(tasks, "csmask_is_installed", lambda: False)
    with pytest.raises(
        ConfigError, match="lacks the extra clouds, which the process that started the run has; install"
    ):
        tasks._map_unless_finished(scene, batch)
