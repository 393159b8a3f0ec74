"""Tests of the bands of a raster: by names, by the file's name and by order."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from floodseg.bands import Sensor
from floodseg.errors import DataError
from floodseg.raster.bands import band_indices, has_unnamed_bands
from floodseg.raster.dataset import open_raster


@pytest.mark.parametrize(
    ("count", "names", "sensor", "expected"),
    [
        (2, ["VH", "VV"], "sar", {"VH": 1, "VV": 2}),
        (4, ["angle", "Gamma0_VV_db", "Gamma0_VH_db", "mask"], "sar", {"VV": 2, "VH": 3}),
        (2, None, "sar", {"VV": 1, "VH": 2}),
        (2, ["Band 1", "Band 2"], "sar", {"VV": 1, "VH": 2}),
        (3, ["B8A", "B3", "B11"], "optical", {"B8A": 1, "B03": 2, "B11": 3}),
    ],
)
def test_bands_are_found_by_name_or_by_order(
    tmp_path: Path,
    write_raster: Callable[..., Path],
    count: int,
    names: list[str] | None,
    sensor: Sensor,
    expected: dict[str, int],
) -> None:
    path = write_raster(tmp_path / "a.tif", np.zeros((count, 4, 4), np.float32), names=names)
    with open_raster(path) as source:
        assert band_indices(source, sensor) == expected
        assert has_unnamed_bands(source, sensor) == (names is None or names[0] == "Band 1")


@pytest.mark.parametrize(("count", "b8a", "b11"), [(13, 9, 12), (12, 9, 11)])
def test_unnamed_optical_bands_are_l1c_or_l2a_by_count(
    tmp_path: Path, write_raster: Callable[..., Path], count: int, b8a: int, b11: int
) -> None:
    numbered = [f"Band {number}" for number in range(1, count + 1)]
    for names in (None, numbered):
        path = write_raster(tmp_path / f"{names is None}.tif", np.zeros((count, 4, 4), np.int16), names=names)
        with open_raster(path) as source:
            found = band_indices(source, "optical")
        assert len(found) == count
        assert (found["B8A"], found["B11"], "B10" in found) == (b8a, b11, count == 13)


@pytest.mark.parametrize(
    ("count", "names", "sensor", "message"),
    [
        (3, None, "sar", r"a\.tif: has 3 bands.*exactly 2"),
        (1, None, "sar", r"a\.tif: has 1 band without.*exactly 2"),
        (4, None, "optical", r"a\.tif: has 4 bands.*exactly 13 or 12"),
        (1, ["VV"], "sar", r"a\.tif: holds only VV, but the model needs VV and VH; add VH"),
        (2, ["VH", "dem"], "sar", r"a\.tif: holds only VH.*VV"),
        (3, ["VV", "VH", "VV_2"], "sar", r"bands 1 and 3 are both named VV"),
    ],
)
def test_unidentified_bands_are_refused(
    tmp_path: Path, write_raster: Callable[..., Path], count: int, names: list[str] | None, sensor: Sensor, message: str
) -> None:
    path = write_raster(tmp_path / "a.tif", np.zeros((count, 4, 4), np.float32), names=names)
    with open_raster(path) as source, pytest.raises(DataError, match=message):
        band_indices(source, sensor)
