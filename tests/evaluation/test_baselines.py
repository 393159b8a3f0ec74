import os
from pathlib import Path

import numpy as np
import pytest
import torch

from floodseg.bands import Bands
from floodseg.chips.chip import Chip
from floodseg.classical import otsu
from floodseg.config.data import DataConfig
from floodseg.datasets.layouts import open_layout
from floodseg.errors import ConfigError
from floodseg.evaluation.baselines import BASELINES
from floodseg.evaluation.metrics.counts import Counts, count

RADAR = Bands(sar=("VV", "VH"), optical=())
OPTICAL = Bands(sar=(), optical=("B02", "B03", "B08"))


def make_chip(sar=None, optical=None, valid=None):
    some = sar if sar is not None else optical
    shape = some.shape[1:]
    valid = np.ones(shape, bool) if valid is None else valid
    none = np.zeros(shape, bool)
    return Chip(
        name="Place_1",
        event="Place",
        sar=np.zeros((0, *shape), np.float32) if sar is None else sar.astype(np.float32),
        optical=np.zeros((0, *shape), np.float32) if optical is None else optical.astype(np.float32),
        sar_valid=none if sar is None else valid,
        optical_valid=none if optical is None else valid,
        label=np.zeros(shape, np.uint8),
        grid=None,
    )


def two_modes(rng, shape=(64, 64)):
    """Dark water at -24 dB in the left half, land at -14 dB in the right one."""
    vh = rng.normal(-14, 1, shape)
    vh[:, : shape[1] // 2] = rng.normal(-24, 1, (shape[0], shape[1] // 2))
    return vh.astype(np.float32)


def test_otsu_maps_a_spike_at_the_floor_as_water():
    vh = np.full((10, 10), -27.89, np.float32)
    vh[:, 5:] = np.linspace(-16, -10, 50).reshape(10, 5)
    water, _ = BASELINES["otsu"].predict(make_chip(np.stack((vh, vh))), RADAR)
    assert water[:, :5].all()
    assert not water[:, 5:].any()


def test_otsu_uses_valid_pixels_only():
    vh = two_modes(np.random.default_rng(0))
    valid = np.ones_like(vh, bool)
    valid[:8] = False
    spoilt = vh.copy()
    spoilt[:8] = np.nan
    assert otsu(spoilt, valid) == otsu(vh, valid)
    water, counted = BASELINES["otsu"].predict(make_chip(np.stack((spoilt, spoilt)), valid=valid), RADAR)
    assert not water[:8].any()
    assert water[8:, :32].all()
    assert not water[8:, 32:].any()
    assert (counted == valid).all()


def test_otsu_finds_vh_at_any_position():
    vh = two_modes(np.random.default_rng(1))
    flat = np.full_like(vh, -9)
    first, _ = BASELINES["otsu"].predict(make_chip(np.stack((vh, flat))), Bands(("VH", "VV"), ()))
    second, _ = BASELINES["otsu"].predict(make_chip(np.stack((flat, vh))), RADAR)
    assert first.any()
    assert (first == second).all()


@pytest.mark.parametrize("valid", [np.ones((4, 4), bool), np.zeros((4, 4), bool)])
def test_otsu_maps_no_water_without_contrast(valid):
    vh = np.full((4, 4), -20, np.float32)
    assert otsu(vh, valid) is None
    water, counted = BASELINES["otsu"].predict(make_chip(np.stack((vh, vh)), valid=valid), RADAR)
    assert not water.any()
    assert (counted == valid).all()


def test_ndwi_water_is_green_above_infrared():
    green = np.array([[0.10, 0.10, 0.10, -0.01, 0.0]])
    infrared = np.array([[0.05, 0.10, 0.30, -0.03, 0.0]])
    valid = np.ones((1, 5), bool)
    chip = make_chip(optical=np.stack((np.zeros_like(green), green, infrared)), valid=valid)
    water, counted = BASELINES["ndwi"].predict(chip, OPTICAL)
    assert water.tolist() == [[True, False, False, True, False]]
    assert counted.tolist() == [[True, True, True, True, False]]  # 0 in both bands is unknown
    with np.errstate(invalid="ignore"):
        ndwi = (green - infrared) / (green + infrared)
    assert ((ndwi > 0) == water)[green + infrared > 0].all()


def test_ndwi_maps_no_water_at_invalid_pixels():
    optical = np.stack((np.zeros((1, 2)), np.ones((1, 2)), np.zeros((1, 2))))
    water, counted = BASELINES["ndwi"].predict(make_chip(optical=optical, valid=np.array([[True, False]])), OPTICAL)
    assert water.tolist() == counted.tolist() == [[True, False]]


@pytest.mark.parametrize(
    ("method", "bands", "message"),
    [
        ("otsu", Bands(("VV",), ()), "VH in dB.*hold VV in dB"),
        ("otsu", OPTICAL, "VH in dB.*hold B0.* in reflectance"),
        ("otsu", Bands(("VV", "VH"), (), sar_unit="dn"), "VH in dB.*hold VV, VH in digital numbers"),
        ("ndwi", RADAR, "B03, B08 in reflectance.*hold VV, VH in dB"),
        ("ndwi", Bands((), ("B03", "B11")), "B03, B08 in reflectance.*hold B03, B11 in reflectance"),
        (
            "ndwi",
            Bands((), ("B03", "B08"), optical_unit="dn"),
            "B03, B08 in reflectance.*hold B03, B08 in digital numbers",
        ),
    ],
)
def test_a_missing_band_or_unit_is_refused(method, bands, message):
    image = np.zeros((2, 2, 2))
    with pytest.raises(ConfigError, match=f"classical baseline {method}: .*{message}"):
        BASELINES[method].predict(make_chip(image, image), bands)


def test_baselines_have_names_sensors_and_thresholds():
    assert {name: (r.name, r.sensors, r.threshold) for name, r in BASELINES.items()} == {
        "otsu": ("otsu", "sar", None),
        "ndwi": ("ndwi", "optical", 0.0),
    }


@pytest.mark.skipif("FLOODSEG_DATA" not in os.environ, reason="FLOODSEG_DATA does not name a folder with sen1floods11")
def test_otsu_on_the_validation_chips_of_one_flood():
    config = DataConfig(data=Path(os.environ["FLOODSEG_DATA"]) / "sen1floods11", layout="sen1floods11")
    chips = open_layout(config, "valid")
    total = Counts()
    for index, event in enumerate(chips.events):
        if event == "Mekong":
            chip = chips.read(index)
            water, valid = BASELINES["otsu"].predict(chip, chips.bands)
            total += count(torch.from_numpy(water), torch.from_numpy(chip.label), torch.from_numpy(valid))
    assert total.water_iou == pytest.approx(0.4503, abs=1e-3)
    assert total.recall == pytest.approx(0.9427, abs=1e-3)
