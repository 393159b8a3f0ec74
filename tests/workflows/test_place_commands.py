"""``floodseg fetch`` and ``floodseg map``."""

import json
import shlex
from pathlib import Path
from typing import Any

import pytest

from floodseg.app.cli import main
from place_scenes import PLACE, Service


def run(*arguments: Any) -> int:
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    return int(ended.value.code or 0)


def at_place(service: Service, *arguments: Any) -> tuple[Any, ...]:
    place = ("--place", PLACE, "--radius", "1km", "--date", "2024-10-31", "--window", "0d")
    return (*place, "--source", service.source, "--allow-remote", *arguments)


def test_fetch_prints_the_command_that_maps(
    service: Service, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("fetch", *at_place(service, "--sensors", "sar", "--out-dir", tmp_path / "passes")) == 0
    first, command = capsys.readouterr().out.splitlines()
    assert first.endswith("sentinel-1a_20241031T052714_r095: 100.0 % of the area has valid pixels")
    arguments = shlex.split(command.replace("MAP", str(tmp_path / "map")))
    assert arguments[:2] == ["floodseg", "predict"]
    assert run(*arguments[1:], "--model", "otsu") == 0
    summary = json.loads((tmp_path / "map" / "summary.json").read_text())
    assert summary["sources"][0]["attribution"].startswith("Places: GeoNames")


def test_map_goes_from_a_place_and_a_date_to_products(
    service: Service, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = at_place(service, "--sensors", "sar", "--model", "otsu", "--out-dir", tmp_path / "out")
    assert run("map", *arguments) == 0
    printed = capsys.readouterr().out
    assert "the image from before is the median of" in printed
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"flood.tif", "flood.gpkg", "item.json", "quicklook.png", "summary.json", "passes"} <= names
    assert not [name for name in names if name.startswith(".")]


def test_list_shows_what_would_be_read(service: Service, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("map", *at_place(service, "--list", "--out-dir", tmp_path / "out")) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("Adria, IT, 1 km to each side in local: passes to map")
    assert "sentinel-1a 2024-10-31 05:27 desc 95" in printed
    assert "sentinel-2b 2024-10-31 10:10" in printed
    assert "MB would be read" in printed
    assert not (tmp_path / "out").exists()
    assert service.files.attempts == []


@pytest.mark.parametrize("command", ["fetch", "map"])
def test_without_permission_the_hosts_are_named_with_exit_code_2(
    command: str, service: Service, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FLOODSEG_ALLOW_REMOTE", raising=False)
    arguments = [each for each in at_place(service, "--out-dir", tmp_path / "out") if each != "--allow-remote"]
    assert run(command, *arguments) == 2
    error = capsys.readouterr().err
    assert "--allow-remote is not set" in error
    assert "127.0.0.1 for parts of the band files" in error
    assert service.catalogue.requests == []
    assert service.files.attempts == []


def test_built_in_source_names_its_data_hosts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FLOODSEG_ALLOW_REMOTE", raising=False)
    assert run("map", "--place", PLACE, "--date", "2024-10-31", "--out-dir", tmp_path / "out") == 2
    error = capsys.readouterr().err
    assert "planetarycomputer.microsoft.com for items of sentinel-1-rtc and sentinel-2-l2a" in error
    assert "sentinel1euwestrtc.blob.core.windows.net for parts of the band files" in error


@pytest.mark.parametrize("command", ["fetch", "map"])
def test_area_is_required(command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(command, "--date", "2024-10-31", "--allow-remote", "--out-dir", tmp_path / "out") == 2
    assert "set --place" in capsys.readouterr().err
