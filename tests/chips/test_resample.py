from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import pytest

from floodseg.bands import SAR_BANDS, Bands
from floodseg.chips.chip import Chip
from floodseg.chips.loader import ChipDataset, SampleKey
from floodseg.chips.resample import draw_source_size, resample
from floodseg.config.data import DataConfig
from floodseg.config.train import AugmentConfig
from floodseg.datasets.layouts import open_layout
from floodseg.errors import ConfigError

BANDS = Bands(sar=SAR_BANDS, optical=("B03",))
PLAIN = AugmentConfig(crop_size=64, flips=False, sar_jitter_db=0.0, optical_jitter=0.0)


def blank(height: int, width: int) -> Chip:
    return Chip(
        name="Spain_1",
        event="Spain",
        sar=np.full((2, height, width), -10, np.float32),
        optical=np.full((1, height, width), 0.1, np.float32),
        sar_valid=np.ones((height, width), np.bool_),
        optical_valid=np.ones((height, width), np.bool_),
        label=np.zeros((height, width), np.uint8),
        grid=None,
    )


def test_source_size_is_log_uniform_between_both_bounds() -> None:
    rng = np.random.default_rng(0)
    sizes = np.array([draw_source_size(replace(PLAIN, zoom=1.6), rng) for _ in range(2000)])
    assert (sizes.min(), sizes.max()) == (40, 102)
    positions = np.log(sizes / 64) / np.log(1.6)
    assert np.quantile(positions, [0.25, 0.5, 0.75]) == pytest.approx([-0.5, 0, 0.5], abs=0.06)


def test_without_zoom_no_random_number_is_drawn() -> None:
    rng, untouched = np.random.default_rng(0), np.random.default_rng(0)
    assert draw_source_size(PLAIN, rng) == 64
    assert rng.random() == untouched.random()


@pytest.mark.parametrize(("unit", "mean"), [("db", 10 * np.log10((0.1 + 0.001) / 2)), ("dn", -20.0)])
def test_radar_in_db_is_averaged_in_power(unit: Literal["db", "dn"], mean: float) -> None:
    chip = blank(64, 64)
    rows, columns = np.indices((64, 64))
    chip.sar[:, (rows + columns) % 2 == 1] = -30
    inside = resample(chip, 16, 16, replace(BANDS, sar_unit=unit)).sar[:, 2:-2, 2:-2]
    np.testing.assert_allclose(inside, mean, atol=0.01)


@pytest.mark.parametrize(("height", "width"), [(30, 45), (97, 64)])
def test_a_linear_ramp_is_resampled_to_a_tenth_of_a_pixel(height: int, width: int) -> None:
    chip = blank(60, 70)
    chip.optical[0] = 0.01 * np.arange(60)[:, None] + 0.002 * np.arange(70)
    result = resample(chip, height, width, BANDS).optical[0]
    rows = (np.arange(height) + 0.5) * 60 / height - 0.5
    columns = (np.arange(width) + 0.5) * 70 / width - 0.5
    inside = np.s_[3:-3, 3:-3]
    np.testing.assert_allclose(result[inside], (0.01 * rows[:, None] + 0.002 * columns)[inside], atol=5e-4)


@pytest.mark.parametrize("side", [20, 64])
def test_invalid_pixels_do_not_affect_the_mean(side: int) -> None:
    chip = blank(40, 40)
    chip.sar_valid[:, 25:] = False
    chip.sar[:, :, 25:] = np.nan
    result = resample(chip, side, side, BANDS)
    edge = round(25 * side / 40)
    assert abs(int(result.sar_valid[0].sum()) - edge) <= 1
    assert (result.sar_valid == result.sar_valid[0]).all()
    np.testing.assert_allclose(result.sar[:, result.sar_valid], -10, atol=1e-3)
    assert result.optical_valid.all()


@pytest.mark.parametrize("size", [(13, 21), (50, 33), (80, 80)])
def test_label_is_that_of_the_nearest_pixel(size: tuple[int, int]) -> None:
    chip = blank(40, 40)
    chip.label[:] = np.random.default_rng(0).choice([0, 1, 255], (40, 40))
    result = resample(chip, *size, BANDS).label
    for row, column in ((0, 0), (5, 11), (size[0] - 1, size[1] - 1)):
        nearest = int((row + 0.5) * 40 / size[0]), int((column + 0.5) * 40 / size[1])
        assert result[row, column] == chip.label[nearest]


def test_a_missing_sensor_stays_invalid() -> None:
    chip = replace(blank(40, 40), optical=np.zeros((0, 40, 40), np.float32))
    result = resample(chip, 20, 20, Bands(sar=SAR_BANDS, optical=()))
    assert result.optical.shape == (0, 20, 20)
    assert not result.optical_valid.any()
    assert result.sar_valid.all()


@pytest.fixture
def lake(tmp_path: Path, write_raster: Callable[..., Path]) -> Path:
    """One chip of 100x120 pixels: a round lake, dark in radar and labelled as water."""
    rows, columns = np.indices((100, 120))
    water = (rows - 40) ** 2 + (columns - 70) ** 2 < 30**2
    sar = np.where(water, -22, -9).astype(np.float32)
    write_raster(tmp_path / "S1Hand/A_1_S1Hand.tif", np.stack([sar, sar - 6]))
    write_raster(tmp_path / "LabelHand/A_1_LabelHand.tif", water.astype(np.int16)[None])
    return tmp_path


def test_image_and_label_of_a_sample_are_aligned(lake: Path) -> None:
    chips = open_layout(DataConfig(data=lake, layout="folders"), "all")
    dataset = ChipDataset(chips, replace(PLAIN, zoom=1.9, flips=True, crops_per_chip=60), seed=1)
    shares = []
    for index in range(60):
        sample = dataset[SampleKey(0, index)]
        valid, label = sample["sar_valid"][0].numpy(), sample["label"].numpy()
        assert ((label != 255) == valid).all()
        dark = sample["sar"][0].numpy() < -15.5
        # the mean of power at the shore shifts the threshold by some tenths of a pixel
        assert ((dark != (label == 1)) & valid).mean() < 0.03
        shares.append(float(valid.mean()))
    assert min(shares) < 0.95, "some crops extend beyond the chip"
    assert np.median(shares) == 1


def test_zoom_changes_the_area_of_a_crop(lake: Path) -> None:
    chips = open_layout(DataConfig(data=lake, layout="folders"), "all")

    def lake_pixels(zoom: float) -> list[int]:
        config = replace(PLAIN, crop_size=96, zoom=zoom, crops_per_chip=40)
        return [int((ChipDataset(chips, config)[SampleKey(0, index)]["label"] == 1).sum()) for index in range(40)]

    area = np.pi * 30**2
    assert lake_pixels(1.0) == pytest.approx([area] * 40, rel=0.05)
    zoomed = lake_pixels(1.5)
    assert min(zoomed) < 0.6 * area
    assert max(zoomed) > 1.4 * area


@pytest.mark.parametrize("zoom", [0.9, 4.5, float("nan")])
def test_invalid_zoom_is_refused(zoom: float) -> None:
    with pytest.raises(ConfigError, match=r"`zoom=.*`: must be from 1 to 4"):
        AugmentConfig(zoom=zoom)
