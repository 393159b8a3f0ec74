"""A scene in parts by rows of windows: the products are those of the whole, to the bit."""

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from floodseg.bands import Bands
from floodseg.config.predict import MapConfig, PredictConfig, SceneConfig
from floodseg.errors import DataError
from floodseg.inference.part_file import PartReader
from floodseg.inference.parts import predict_parts, predict_rows, rows_of_windows
from floodseg.inference.pipeline import predict_files
from floodseg.products.folder import PRODUCTS
from many_runs import timeless
from map_fakes import LookingRuntime
from scenes import optical_values, sar_values, write_optical, write_raster, write_sar

HEIGHT, WIDTH = 330, 150
BOTH = Bands(("VV", "VH"), ("B03", "B04"))


class Runtime(LookingRuntime):
    """Land where the optical image alone sees anything."""

    def result(self, sar: Any, sar_valid: Any) -> Any:
        return np.nan_to_num(super().result(sar, sar_valid), nan=0.25)


@pytest.fixture
def scene(tmp_path: Path) -> dict[str, Any]:
    """Both sensors, an earlier radar image that covers a part, odd values in the last rows, and layers."""
    db = sar_values(HEIGHT, WIDTH)
    db[:, 300:310, 5:9] = 900  # physically impossible
    db[:, 100:140, 40:90] = np.nan
    write_sar(tmp_path / "now.tif", db)
    before = sar_values(HEIGHT, WIDTH, seed=1)
    before[:, 200:] = np.nan
    write_sar(tmp_path / "before.tif", before)
    write_optical(tmp_path / "optical.tif", optical_values(HEIGHT, WIDTH, 2), names=("B03", "B04"))
    water = np.zeros((1, HEIGHT, WIDTH), np.uint8)
    water[:, 150:170] = 1
    write_raster(tmp_path / "exclude.tif", water)
    files = {name: (tmp_path / f"{file}.tif",) for name, file in
             (("sar", "now"), ("optical", "optical"), ("sar_before", "before"))}  # fmt: skip
    return {**files, "exclude": tmp_path / "exclude.tif", "datetime": "2024-01-05"}


def config(tmp_path: Path, scene: dict[str, Any], name: str) -> PredictConfig:
    return PredictConfig(tmp_path / name, SceneConfig(**scene), MapConfig(tile_size=64, threads=2, min_area=900))


@pytest.mark.parametrize("rows", [1, 2, 100])
def test_parts_together_are_the_whole(tmp_path, scene, rows):
    runtime = Runtime(bands=BOTH, batch=3)
    whole = predict_files(config(tmp_path, scene, "whole"), runtime, "fake")
    split = config(tmp_path, scene, "split")
    count, pixels = rows_of_windows(split, runtime)
    assert (count, pixels) == (5, HEIGHT * WIDTH)
    spans = [range(start, min(start + rows, count)) for start in range(0, count, rows)]
    files = [tmp_path / f"{span.start}.npz" for span in spans]
    for span, file in reversed(list(zip(spans, files, strict=True))):
        predict_rows(split, runtime, span, file)
    joined = predict_parts(split, runtime, "fake", files)
    for name in PRODUCTS:
        assert timeless(tmp_path / "split" / name) == timeless(tmp_path / "whole" / name), name
    assert joined.keys() == whole.keys()
    assert any("physically impossible" in sentence for sentence in joined["assumptions"])
    assert any("before.tif: covers 60.6% of the scene" in sentence for sentence in joined["assumptions"])
    assert json.loads((tmp_path / "split/summary.json").read_text()) == joined


def test_an_earlier_image_that_one_part_sees_nothing_of_is_no_fault_of_that_part(tmp_path, scene):
    runtime = Runtime(bands=BOTH)
    predict_rows(config(tmp_path, scene, "out"), runtime, range(4, 5), tmp_path / "last.npz")
    with PartReader(tmp_path / "last.npz") as part:
        assert part.mapped.seen_before == 0
        assert part.mapped.seen > 0
        [*strips] = part.strips()
    assert sum(len(strip.classes) for strip in strips) + strips[0].top == HEIGHT


def test_a_damaged_part_is_named(tmp_path, scene):
    runtime = Runtime(bands=BOTH)
    settings = config(tmp_path, scene, "out")
    file = tmp_path / "all.npz"
    predict_rows(settings, runtime, range(5), file)
    with zipfile.ZipFile(file) as archive:
        place = archive.getinfo(archive.namelist()[1]).header_offset
    data = bytearray(file.read_bytes())
    data[place + 200] ^= 0xFF
    file.write_bytes(data)
    with pytest.raises(DataError, match=r"all\.npz: is no whole part of a scene .*: remove it, and start again"):
        predict_parts(settings, runtime, "fake", [file])
    assert not (tmp_path / "out").exists()
    with pytest.raises(DataError, match="no whole part"):
        predict_parts(settings, runtime, "fake", [tmp_path / "missing.npz"])


def test_a_part_that_fails_leaves_no_file(tmp_path, scene):
    def fail(count: int) -> None:
        raise DataError("cannot be read")

    with pytest.raises(DataError):
        predict_rows(
            config(tmp_path, scene, "out"), Runtime(bands=BOTH, before_call=fail), range(2), tmp_path / "p.npz"
        )
    assert not list(tmp_path.glob("*.npz"))
