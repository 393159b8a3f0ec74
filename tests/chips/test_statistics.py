from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from floodseg.bands import SAR_BANDS, Bands, BandStatistics
from floodseg.chips import statistics as module
from floodseg.chips.chip import Chip
from floodseg.chips.statistics import band_statistics
from floodseg.config.data import DataConfig
from floodseg.datasets.layouts import open_layout
from floodseg.errors import DataError
from floodseg.geo.grid import Window


class MemoryChips:
    """Complete chips in memory (a ChipSet)."""

    def __init__(self, bands: Bands, chips: list[Chip]) -> None:
        self.bands = bands
        self.chips = chips
        self.names = tuple(chip.name for chip in chips)
        self.events = tuple(chip.event for chip in chips)

    def read_label(self, index: int) -> NDArray[np.uint8]:
        return self.chips[index].label

    def read(self, index: int, window: Window | None = None) -> Chip:
        assert window is None
        return self.chips[index]


@pytest.fixture
def chips() -> MemoryChips:
    """Three chips; invalid pixels have a value that would change every statistic."""
    rng = np.random.default_rng(0)
    made = []
    for number in range(3):
        valid = rng.random((40, 50)) < 0.7
        sar = rng.normal([[[-10]], [[-17]]], [[[2]], [[3]]], (2, 40, 50))
        made.append(
            Chip(
                name=f"Spain_{number}",
                event="Spain",
                sar=np.where(valid, sar, 1e6).astype(np.float32),
                optical=rng.uniform(0, 0.3, (1, 40, 50)).astype(np.float32),
                sar_valid=valid,
                optical_valid=np.full((40, 50), number == 1),
                label=np.zeros((40, 50), np.uint8),
                grid=None,
            )
        )
    return MemoryChips(Bands(sar=SAR_BANDS, optical=("B03",)), made)


def test_statistics_include_all_valid_pixels(chips: MemoryChips) -> None:
    sar, optical = band_statistics(chips)
    pixels = np.concatenate([chip.sar[:, chip.sar_valid] for chip in chips.chips], axis=1).astype(np.float64)
    assert [band.mean for band in sar] == pytest.approx(pixels.mean(axis=1), rel=1e-6)
    assert [band.std for band in sar] == pytest.approx(pixels.std(axis=1), rel=1e-6)
    assert [band.low for band in sar] == pytest.approx(np.percentile(pixels, 0.1, axis=1), rel=1e-6)
    assert [band.high for band in sar] == pytest.approx(np.percentile(pixels, 99.9, axis=1), rel=1e-6)
    assert optical[0].mean == pytest.approx(chips.chips[1].optical.mean(), rel=1e-6)


def test_subsampled_statistics_are_close(chips: MemoryChips, monkeypatch: pytest.MonkeyPatch) -> None:
    all_pixels, _ = band_statistics(chips)
    monkeypatch.setattr(module, "SAMPLES", 1500)
    counts: list[int] = []
    original = module._summary

    def counted_summary(pixels: list[NDArray[np.float32]], names: tuple[str, ...]) -> list[BandStatistics]:
        if names == SAR_BANDS:
            counts.extend(part.shape[1] for part in pixels)
        return original(pixels, names)

    monkeypatch.setattr(module, "_summary", counted_summary)
    thinned, _ = band_statistics(chips)
    assert counts == [int(chip.sar_valid[::2, ::2].sum()) for chip in chips.chips]
    assert thinned[0].mean == pytest.approx(all_pixels[0].mean, abs=0.2)


def test_a_missing_sensor_has_no_statistics(chips: MemoryChips) -> None:
    bare = [replace(chip, optical=np.zeros((0, 40, 50), np.float32)) for chip in chips.chips]
    sar, optical = band_statistics(MemoryChips(Bands(sar=SAR_BANDS, optical=()), bare))
    assert (len(sar), optical) == (2, [])


def test_band_without_a_valid_pixel_is_refused(chips: MemoryChips) -> None:
    blind = [replace(chip, optical_valid=np.zeros((40, 50), np.bool_)) for chip in chips.chips]
    with pytest.raises(DataError, match="B03: no valid pixel in any chip"):
        band_statistics(MemoryChips(chips.bands, blind))


@pytest.mark.slow
def test_statistics_of_the_real_training_chips(real_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLOODSEG_DATA", str(real_data))
    (vv, vh), optical = band_statistics(open_layout(DataConfig(), "train"))
    assert optical == []
    assert (vv.low, vh.low) == pytest.approx((-22.906, -27.886), abs=1e-3)
    assert (vv.mean, vh.mean) == pytest.approx((-10.37, -17.06), abs=0.05)
