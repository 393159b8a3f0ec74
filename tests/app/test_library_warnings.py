"""Tests of warnings of libraries: none reaches the terminal, and what matters in them is a note."""

import json
import logging
import struct
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

import scenes
from floodseg.app.exit_codes import run_and_exit

OPEN_RING = [[500_000, 4_999_600], [500_300, 4_999_600], [500_300, 5_000_000], [500_000, 5_000_000]]


def unsort_tags(path: Path) -> Path:
    """Swap the first two tags of a TIFF, of which libtiff warns."""
    content = bytearray(path.read_bytes())
    first = struct.unpack("<I", content[4:8])[0] + 2
    content[first : first + 24] = content[first + 12 : first + 24] + content[first : first + 12]
    path.write_bytes(content)
    return path


def test_warnings_of_gdal_and_pyogrio_stay_off_the_terminal(tmp_path: Path) -> None:
    scenes.write_sar(tmp_path / "s1_20240105.tif")
    scenes.write_raster(tmp_path / "dem.tif", np.zeros((1, 48, 40), np.float32))
    for name in ("s1_20240105.tif", "dem.tif"):
        unsort_tags(tmp_path / name)
    feature = {"type": "Feature", "properties": {}, "geometry": {"type": "Polygon", "coordinates": [OPEN_RING]}}
    system = {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::32633"}}
    area = {"type": "FeatureCollection", "crs": system, "features": [feature]}
    (tmp_path / "area.geojson").write_text(json.dumps(area))
    command = [sys.executable, "-m", "floodseg", "predict", "--model", "otsu", "--sar", "s1_20240105.tif"]
    command += ["--aoi", "area.geojson", "--dem", "dem.tif", "--out-dir", "out"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    summary = json.loads((tmp_path / "out/summary.json").read_text())
    assert sum(summary["pixels"].values()) == 40 * 30
    assert "`aoi=area.geojson`: rings that are not closed are closed" in summary["assumptions"]


@pytest.mark.parametrize(
    ("warn", "logged"),
    [
        (lambda: warnings.warn("old option", RuntimeWarning, stacklevel=1), "RuntimeWarning: old option"),
        (lambda: logging.getLogger("rasterio._env").error("failed, and raised"), "rasterio._env: failed, and raised"),
        (lambda: logging.getLogger("pyproj").warning("no grid"), "pyproj: no grid"),
    ],
)
def test_messages_of_libraries_are_logged_at_debug_level(
    warn: object, logged: str, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)
    monkeypatch.setenv("CPL_LOG", "/dev/null")

    def command() -> None:
        logging.getLogger("floodseg").addHandler(caplog.handler)
        logging.getLogger("floodseg").setLevel(logging.DEBUG)
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            warn()  # type: ignore[operator]
        logging.getLogger("other").error("a failure")

    with pytest.raises(SystemExit):
        run_and_exit(command)
    logging.getLogger("floodseg").removeHandler(caplog.handler)
    own = [(record.levelname, record.getMessage()) for record in caplog.records if record.name == "floodseg.libraries"]
    assert own == [("DEBUG", logged)]
    assert capsys.readouterr().err.splitlines()[-1] == "floodseg: ERROR: a failure"
