"""Tests of the scale and the offset of reflectance."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from floodseg.errors import DataError
from floodseg.raster.bands import band_indices
from floodseg.raster.dataset import open_raster
from floodseg.raster.read import read_optical
from floodseg.raster.reflectance_checks import OffsetSource, check_reflectance
from floodseg.raster.sample import Sample

PIXELS = 10_000
BRIGHT = np.random.default_rng(0).integers(1000, 3000, (12, PIXELS)).astype(np.int16)
"""(12, N), stored: no pixel is dark in any band."""


def check(stored: NDArray[np.integer], offset_from: OffsetSource = None, shift: float = 0.0) -> None:
    values = ((stored.astype(np.float32) + np.float32(shift)) / 10_000).astype(np.float32)
    names = tuple(f"band {number}" for number in range(len(stored)))
    check_reflectance([Sample("s2.tif", names, values, stored, stored.shape[1])], offset_from, shift)


def with_pixels(count: int, value: int, bands: slice = slice(None)) -> NDArray[np.int16]:
    """Return ``BRIGHT`` with another stored number in the first pixels."""
    stored = BRIGHT.copy()
    stored[bands, :count] = value
    return stored


@pytest.mark.parametrize(
    "stored",
    [BRIGHT, with_pixels(100, 850), with_pixels(100, 0, slice(7, 8)), with_pixels(PIXELS, 0, slice(9, 10)),
     with_pixels(100, 300), with_pixels(PIXELS, 860, slice(6, 12)), with_pixels(4000, 5)],
    ids=["nothing dark", "small lake", "60 pixels of 0 in a band", "band of 0", "1 % dark", "large lake", "filler 5"],
)  # fmt: skip
def test_scenes_that_may_hold_an_offset_are_asked_about(stored: NDArray[np.int16]) -> None:
    with pytest.raises(DataError, match=r"^s2\.tif: .*does not declare an offset; set `optical_offset=-1000`"):
        check(stored)
    check(stored, "setting", -1000.0)
    check(stored, "setting", 0.0)


@pytest.mark.parametrize(
    "stored", [with_pixels(400, 300, slice(3, 4)), with_pixels(PIXELS, 12, slice(9, 10)), BRIGHT - 900],
    ids=["4 % dark", "cirrus", "vegetation"],
)  # fmt: skip
def test_scenes_with_dark_pixels_hold_no_offset(stored: NDArray[np.int16]) -> None:
    check(stored)
    with pytest.raises(DataError, match="removed already or never existed; set `optical_offset=0`"):
        check(np.clip(stored - 900, 0, None), "setting", -1000.0)


def test_reflectance_that_tags_shift_is_checked() -> None:
    stored = (BRIGHT / 1e4).astype(np.float32)

    def check_shifted(shift: float) -> None:
        check_reflectance([Sample("s2.tif", ("B02",) * 12, stored + np.float32(shift), stored, PIXELS)], "tags")

    check_shifted(-0.1)
    with pytest.raises(DataError, match=r"of the reflectance values are below -0\.05 once"):
        check_shifted(-0.2)


def test_one_filler_is_named_as_it_is_stored() -> None:
    stored = BRIGHT.astype(np.int32)
    stored[:, :2000] = 2**30 + 1
    with pytest.raises(DataError, match=r"rio edit-info --nodata 1073741825 s2\.tif\)$"):
        check(stored)


def refusal(path: Path) -> str:
    """Return the error message of an image, empty if it is read."""
    try:
        with open_raster(path) as source:
            read_optical(source, list(band_indices(source, "optical")))
    except DataError as error:
        return str(error)
    return ""


@pytest.mark.slow
def test_real_images_without_an_offset_are_read_and_others_are_asked_about(real_data: Path) -> None:
    """All images of the folder; the list of those with an offset is that of its README."""
    paths = [path for place in ("examples", "optical") for path in sorted((real_data / place).rglob("*.tif"))
             if "_S2" in path.name or "_L1C" in path.name or "_L2A" in path.name]  # fmt: skip
    if not paths:
        pytest.skip("FLOODSEG_DATA holds no optical images")
    refusals = {path.stem: message for path in paths if (message := refusal(path))}
    assert all("`optical_offset=-1000`" in message for message in refusals.values())
    held = {path.stem for path in paths}
    with_offset = {"282D_485L_3_3_S2L1C", "433D_629L_3_1_S2L1C", "433D_629L_3_1_S2L2A", "609U_541L_3_0_S2L1C",
                   "amazon_L2A"}  # fmt: skip
    assert set(refusals) == with_offset & held
