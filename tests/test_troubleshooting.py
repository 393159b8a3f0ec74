"""Messages on the page Troubleshooting: each is printed by a command."""

import json
import re
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.errors import NotGeoreferencedWarning

import floodseg.app.cli as cli
from document_blocks import DOCS
from scenes import optical_values, sar_values, write_optical, write_raster, write_sar

BANDS = ("B02", "B03", "B04", "B08", "B11", "B12")
INDEX = [1, 2, 3, 7, 11, 12]
"""Positions of BANDS in an image of 13 bands."""
DB = sar_values()
REFLECTANCE = optical_values()


def raw_product() -> None:
    (Path("S1A_IW_GRDH_1SDV_20241031T052714_20241031T052739_056333_06E5F0_AAAA.SAFE") / "measurement").mkdir(
        parents=True
    )


def without_corners() -> None:
    profile = {"driver": "GTiff", "count": 2, "height": 48, "width": 40, "dtype": "float32", "crs": "EPSG:32632"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open("S1.tif", "w", **profile) as file:
            file.write(DB)


def area_elsewhere() -> None:
    write_sar(Path("S1.tif"))
    ring = [[50, 50], [51, 50], [51, 51], [50, 51], [50, 50]]
    feature = {"type": "Feature", "properties": {}, "geometry": {"type": "Polygon", "coordinates": [ring]}}
    Path("aoi.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}), encoding="utf-8")


def occurrence() -> None:
    write_sar(Path("S1.tif"))
    write_raster(Path("occurrence.tif"), (np.arange(48 * 40).reshape(1, 48, 40) % 101).astype("u1"))


def finished() -> None:
    Path("flood").mkdir()
    Path("flood/summary.json").write_text("{}", encoding="utf-8")
    radar()


def radar() -> None:
    write_sar(Path("S1.tif"))


def nothing() -> None:
    pass


SAR = "predict --sar S1.tif"
OPTICAL = "predict --optical S2.tif"
SYNTHETIC = "train --layout synthetic"
CASES: dict[str, tuple[Callable[[], object], str]] = {
    "most radar values are not below 0": (lambda: write_sar(Path("S1.tif"), 10 ** (DB / 10)), SAR),
    "is a raw Sentinel-1 product": (
        raw_product, "predict --sar S1A_IW_GRDH_1SDV_20241031T052714_20241031T052739_056333_06E5F0_AAAA.SAFE",
    ),
    "so they are swapped": (lambda: write_sar(Path("S1.tif"), DB[::-1]), SAR),
    "holds only VV, but the model needs VV and VH": (
        lambda: write_raster(Path("S1.tif"), DB[:1], names=("VV",)), SAR,
    ),
    "has no coordinate system, so the map would have no location": (lambda: write_sar(Path("S1.tif"), crs=None), SAR),
    "has a coordinate system but no geotransform": (without_corners, SAR),
    "as in newer Sentinel-2 products with an offset": (
        lambda: write_optical(Path("S2.tif"), storage="uint16", stored_offset=1000), OPTICAL,
    ),
    "lacks B08, B11, B12, which the model needs": (
        lambda: write_optical(Path("S2.tif"), REFLECTANCE[1:4], names=BANDS[:3]), OPTICAL,
    ),
    "bands without names": (lambda: write_optical(Path("S2.tif"), REFLECTANCE[:5]), OPTICAL),
    "holds 8-bit numbers, as pictures do": (
        lambda: write_raster(Path("S2.tif"), (REFLECTANCE[INDEX] * 255).astype("u1"), names=BANDS), OPTICAL,
    ),
    "which seem to be reflectance from 0 to 1": (
        lambda: write_raster(Path("S2.tif"), REFLECTANCE[INDEX], names=BANDS), OPTICAL,
    ),
    "holds no pixel of the scene": (area_elsewhere, f"{SAR} --aoi aoi.geojson"),
    "but a mask holds only 0 and 1": (occurrence, f"{SAR} --permanent-water occurrence.tif"),
    "is neither a shipped model": (radar, f"{SAR} --model s3"),
    "PyTorch finds no GPU": (radar, f"{SAR} --device cuda"),
    "must be a multiple of 64": (radar, f"{SAR} --tile-size 65"),
    "holds finished products": (finished, f"{SAR} --out-dir flood"),
    "no image to map": (nothing, "predict"),
    "which is not installed": (nothing, "search --place Bologna --date 2024-10-31 --allow-remote"),
    "needs a folder": (nothing, "train"),
    "holds no radar and no optical image": (nothing, "train --layout folders --data ."),
    "the weights of encoder 'resnet18' are not available": (
        nothing, f"{SYNTHETIC} --encoder resnet18 --pretrained required",
    ),
    "but this run trains": (nothing, f"{SYNTHETIC} --model lite --start-from s1-lite"),
    "no request was sent": (nothing, "search --place Bologna --date 2024-10-31"),
    "names several places": (nothing, "search --place Springfield --date 2024-10-31 --allow-remote"),
    "is not in the table of places": (nothing, "search --place Nowheretown --date 2024-10-31 --allow-remote"),
    "is an address on a network": (nothing, "predict --sar https://example.org/S1.tif"),
}  # fmt: skip
"""For each message the inputs and the command that prints it."""


def test_page_lists_the_messages_of_the_tests() -> None:
    page = (DOCS / "troubleshooting.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| \*(.+?)\* \|", page, re.MULTILINE) == list(CASES)


SLOW = {"the weights of encoder 'resnet18' are not available", "but this run trains"}
"""Messages of a run that has begun."""


@pytest.mark.parametrize(
    "message", [pytest.param(name, marks=[pytest.mark.slow] if name in SLOW else []) for name in CASES]
)
def test_command_prints_the_message(
    message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write, command = CASES[message]
    monkeypatch.chdir(tmp_path)
    for variable in ("FLOODSEG_DATA", "FLOODSEG_ALLOW_REMOTE"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    if message == "which is not installed":
        monkeypatch.setattr("floodseg.system.extras.is_installed", lambda package: False)
    write()
    with pytest.raises(SystemExit) as stop:
        cli.main(command.split())
    assert stop.value.code == 2
    *_, line = capsys.readouterr().err.strip().splitlines()
    assert message in line
    assert ";" in line or "must be" in line
