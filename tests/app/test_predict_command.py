"""Tests of ``floodseg predict`` and ``floodseg demo``: exit codes, messages and interruptions."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pystac
import pytest
import rasterio

from core_alone import run_with_core_alone
from floodseg.app import cli, demo
from floodseg.products.folder import ITEM, PRODUCTS
from floodseg.simulate.demo_scene import make_demo_scene
from scenes import sar_values, write_optical, write_raster, write_sar


def run(*arguments: object) -> Any:
    """Run the command line and return its exit code."""
    with pytest.raises(SystemExit) as stop:
        cli.main([str(argument) for argument in arguments])
    return stop.value.code


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def sar(tmp_path: Path) -> Path:
    write_sar(tmp_path / "s1_20240105.tif")
    return tmp_path / "s1_20240105.tif"


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Callable[..., str]:
    """Return a function that runs predict, checks exit code 2 and that no file was created, and returns the error."""

    def refuse(*arguments: object) -> str:
        before = sorted(tmp_path.rglob("*"))
        capsys.readouterr()
        assert run("predict", "--datetime", "2024-01-05", *arguments) == 2
        printed = capsys.readouterr().err
        lines = [line for line in printed.splitlines() if line.startswith("floodseg: ")]
        assert len(lines) == 1
        assert "Traceback" not in printed
        assert sorted(tmp_path.rglob("*")) == before
        return lines[0].removeprefix("floodseg: error: ")

    return refuse


def test_predict_writes_products_and_refuses_to_overwrite(tmp_path, sar, capsys):
    out = tmp_path / "out"
    assert run("predict", "--sar", sar, "--out-dir", out, "--min-area", "500") == 0
    printed = " ".join(capsys.readouterr().out.split())
    summary = json.loads((out / "summary.json").read_text())
    assert f"open water {summary['area_km2']['flood']:,.2f} km²" in printed
    assert "mapped 100.0 % of the scene" in printed
    assert f"{out / 'flood.tif'} classes" in printed
    assert names_in(out) == sorted([*PRODUCTS, ITEM])
    modified = (out / "summary.json").stat().st_mtime_ns
    assert run("predict", "--sar", sar, "--out-dir", out) == 2
    assert "holds finished products; set --overwrite" in capsys.readouterr().err
    assert (out / "summary.json").stat().st_mtime_ns == modified
    assert run("predict", "--sar", sar, "--out-dir", out, "--overwrite") == 0
    assert json.loads((out / "summary.json").read_text())["settings"]["min_area"] == 0


def test_demo_maps_its_scene(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(demo, "make_demo_scene", partial(make_demo_scene, height=240, width=300))
    assert run("demo", "--out-dir", tmp_path / "demo") == 0
    assert names_in(tmp_path / "demo/flood") == sorted([*PRODUCTS, ITEM])
    assert str(tmp_path / "demo/flood/quicklook.png") in capsys.readouterr().out.replace("\n", "")
    assert run("demo", "--out-dir", tmp_path / "demo") == 2
    assert "holds finished products; set --overwrite" in capsys.readouterr().err


@pytest.mark.slow
def test_demo_writes_all_products_without_extras(tmp_path, capsys):
    done = run_with_core_alone("demo", "--out-dir", tmp_path / "demo")
    assert (done.returncode, done.stderr) == (0, "")
    printed = " ".join(done.stdout.split())
    out = tmp_path / "demo/flood"
    assert names_in(out) == sorted([*PRODUCTS, ITEM])
    assert all(str(out / name) in printed for name in PRODUCTS if name != "flood.tif.aux.xml")
    assert "of the area of interest" in printed
    summary = json.loads((out / "summary.json").read_text())
    with rasterio.open(out / "flood.tif") as file:
        classes = file.read(1)
        assert file.crs.to_epsg() == 32632
        assert {1, 2, 3, 255} < set(file.colormap(1))
    assert summary["pixels"]["flood"] == (classes == 1).sum() > 0
    for layer in ("flood", "permanent_water"):
        polygons = geopandas.read_file(out / "flood.gpkg", layer=layer)
        assert polygons.is_valid.all()
        assert polygons.area_m2.sum() / 1e6 == pytest.approx(summary["area_km2"][layer], rel=1e-3)
    item = pystac.Item.from_file(str(out / "item.json"))
    assert f"{item.datetime:%Y-%m-%dT%H:%M:%SZ}" == summary["datetime"] == "2024-10-19T05:27:14Z"
    assert run("demo", "--out-dir", tmp_path / "demo") == 2
    assert "holds finished products; set --overwrite" in capsys.readouterr().err


def test_predict_errors_name_the_flag_or_file(tmp_path, sar, refused):
    write_optical(tmp_path / "s2.tif")
    write_sar(tmp_path / "nan.tif", np.full((2, 20, 30), np.nan, np.float32))
    write_sar(tmp_path / "placeless.tif", sar_values(20, 30), crs=None)
    write_raster(tmp_path / "many.tif", np.ones((40, 4, 4), np.float32))
    (tmp_path / "file").write_text("")
    out = "--out-dir", tmp_path / "out"
    by_name = refused("--model", "s1-efficient", "--sar", sar, "--optical", tmp_path / "s2.tif", *out)
    assert "--optical" in by_name
    assert "s1s2" in by_name
    assert "nan.tif: no pixel is valid" in refused("--sar", tmp_path / "nan.tif", *out)
    assert "--allow-no-crs" in refused("--sar", tmp_path / "placeless.tif", *out)
    assert "has 40 bands without names" in refused("--sar", tmp_path / "many.tif", *out)
    assert "absent.tif: cannot be read" in refused("--sar", tmp_path / "absent.tif", *out)
    assert "no image to map" in refused(*out)
    assert "--cloud-mask" in refused("--sar", sar, "--cloud-mask", tmp_path / "s2.tif", *out)
    assert "--threshold 1.5: must be above 0 and below 1" in refused("--sar", sar, "--threshold", "1.5", *out)
    assert "Did you mean --permanent-water?" in refused("--sar", sar, "--permanent-watr", "x", *out)
    assert "file: cannot be written" in refused("--sar", sar, "--out-dir", tmp_path / "file")
    assert "--sar-units db" in refused("--sar", sar, "--sar-units", "linear", *out)


def started(out: Path, *arguments: object) -> subprocess.Popen[bytes]:
    """Start a slow prediction, and return its process while it is mapping."""
    command = [sys.executable, "-m", "floodseg.app.cli", "predict", "--tta", "--tile-size", "64", "--out-dir", out]
    process = subprocess.Popen(
        [str(part) for part in (*command, *arguments)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        # children of a shell in the background would ignore Ctrl-C
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    deadline = time.monotonic() + 60
    while not list(out.parent.glob(".out.floodseg-*/*")):
        assert process.poll() is None, process.stderr.read().decode() if process.stderr else ""
        assert time.monotonic() < deadline
        time.sleep(0.02)
    time.sleep(0.3)
    return process


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_interrupted_run_leaves_no_products_and_the_next_run_cleans_up(tmp_path, sar, number):
    write_sar(tmp_path / "large.tif", sar_values(1400, 1800))
    out = tmp_path / "out"
    process = started(out, "--sar", tmp_path / "large.tif", "--datetime", "2024-01-05")
    process.send_signal(number)
    printed = process.communicate(timeout=120)[1].decode()
    left = [path.name for path in tmp_path.rglob("*") if path.name in PRODUCTS and path.parent == out]
    assert not left
    if number == signal.SIGINT:
        assert process.returncode == 130
        assert printed.strip().splitlines()[-1] == "floodseg: error: interrupted"
        assert names_in(tmp_path) == ["large.tif", sar.name]
    else:
        assert process.returncode == -signal.SIGKILL
        assert len(list(tmp_path.glob(".out.floodseg-*"))) == 1
    assert run("predict", "--sar", sar, "--out-dir", out) == 0
    assert names_in(out) == sorted([*PRODUCTS, ITEM])
    assert names_in(tmp_path) == ["large.tif", "out", sar.name]
