"""Tests of ``floodseg series`` on the command line, with the remedies of its messages."""

import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import floodseg
from floodseg.app.cli import main
from scenes import write_sar
from series_maps import read, time_of, write_map, write_series


def run(*arguments: Any) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["series", *map(str, arguments)])
    return int(ended.value.code or 0)


def test_the_command_reports_dates_and_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    water = np.zeros((100, 100))
    water[:50] = 1
    maps = write_series(tmp_path / "maps", [water, np.zeros((100, 100)), water], (0, 12, 24))
    assert run(maps, "--out-dir", tmp_path / "series") == 0
    printed = capsys.readouterr().out
    assert "dates  3, 2023-01-05 to 2023-01-29" in printed
    assert "orbit  unknown" in printed
    assert "most water  0.50 km² on 2023-01-05" in printed
    assert "clear  100.0 % of the area, mean of all dates" in printed
    assert f"{tmp_path / 'series' / 'duration_max.tif'}  longest duration in days" in printed
    assert "reference_water" not in printed
    assert (read(tmp_path / "series", "frequency")[[0, 99], 0] == [67, 0]).all()
    for name in ("quicklook.png", "areas.png", "areas.csv", "frequency.qml"):
        assert (tmp_path / "series" / name).stat().st_size > 100


def test_several_orbits_are_refused_with_flags_that_work(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number, orbit in enumerate([("ascending", 15), ("descending", 95)] * 2):
        write_map(tmp_path / "maps" / str(number) / "flood.tif", np.zeros((4, 4)), time_of(number), orbit=orbit)
    assert run(tmp_path / "maps", "--out-dir", tmp_path / "series") == 2
    error = capsys.readouterr().err
    assert error == (
        "floodseg: error: the maps are of several orbits: ascending-15 (2 maps), descending-95 (2 maps); set --orbit "
        "ascending-15 or another one, or join all of them with --orbit all\n"
    )
    assert run(tmp_path / "maps", "--out-dir", tmp_path / "one", "--orbit", "ascending-15") == 0
    assert run(tmp_path / "maps", "--out-dir", tmp_path / "all", "--orbit", "all") == 0
    assert (read(tmp_path / "one", "n_valid").max(), read(tmp_path / "all", "n_valid").max()) == (2, 4)


def test_a_map_without_a_date_is_refused_and_both_remedies_work(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dated = write_map(tmp_path / "maps" / "dated.tif", np.zeros((4, 4)), time_of(0))
    undated = write_map(tmp_path / "maps" / "undated.tif", np.zeros((4, 4)))
    assert run(tmp_path / "maps", "--out-dir", tmp_path / "series") == 2
    error = capsys.readouterr().err
    assert error.startswith(f"floodseg: error: {undated}: has no date in item.json, its tags or its name; ")
    (tmp_path / "list.csv").write_text(f"map,datetime\n{dated},\n{undated},2023-01-31\n", "utf-8")
    assert run(tmp_path / "list.csv", "--out-dir", tmp_path / "from-list") == 0
    advised = error.partition("write it into the file (")[2].partition(")")[0]
    command = shlex.split(advised.replace("FILE", shlex.quote(str(undated))))
    subprocess.run([str(Path(sys.executable).with_name(command[0])), *command[1:]], check=True)
    assert run(tmp_path / "maps", "--out-dir", tmp_path / "series") == 0
    assert read(tmp_path / "series", "n_valid").max() == 2


def test_finished_products_and_wrong_paths_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    maps = write_series(tmp_path / "maps", np.zeros((2, 4, 4)), (0, 1))
    assert run(maps, "--out-dir", tmp_path / "series") == 0
    assert run(maps, "--out-dir", tmp_path / "series") == 2
    assert "holds finished products; set --overwrite, or set another --out-dir" in capsys.readouterr().err
    assert run(maps, "--out-dir", tmp_path / "series", "--overwrite") == 0
    assert run(tmp_path / "other", "--out-dir", tmp_path / "new") == 2
    assert "is neither a folder nor a list of maps" in capsys.readouterr().err
    assert run(maps, "--out-dir", tmp_path / "new", "--dates", "2023-02") == 2
    assert "--dates 2023-02: must be two days with a / between them" in capsys.readouterr().err


def test_reference_water_is_permanent_water_for_predict(tmp_path: Path) -> None:
    days = [27 * number for number in range(14)]
    wet_half = np.zeros((48, 40))
    wet_half[:, :20] = 1
    floodseg.flood_series(write_series(tmp_path / "maps", [wet_half] * 14, days), out_dir=tmp_path / "series")
    write_sar(tmp_path / "S1.tif")
    with pytest.raises(SystemExit) as ended:
        main([
            "predict", "--sar", str(tmp_path / "S1.tif"), "--model", "otsu", "--out-dir", str(tmp_path / "flood"),
            "--permanent-water", str(tmp_path / "series" / "reference_water_10.tif"), "--datetime", "2024-10-31",
        ])  # fmt: skip
    assert ended.value.code == 0
    classes = read(tmp_path / "flood", "flood")
    assert (classes[:, :20] == 2).all()
    assert set(np.unique(classes[:, 20:])) == {0, 1}
