"""Tests of the pictures of a series."""

from pathlib import Path

import numpy as np
from PIL import Image

from floodseg.analysis.series.dated_map import DatedMap
from floodseg.analysis.series.dates import SeriesDate
from floodseg.analysis.series.documents import SeriesInfo, area_rows
from floodseg.analysis.series.pictures import draw_areas, draw_frequency
from floodseg.config.series import SeriesConfig
from floodseg.geo.grid import GeoGrid
from floodseg.products.cog import COLOURS
from floodseg.products.strips import FLOOD, LAND, PERMANENT_WATER
from floodseg.scene.acquisition import Acquisition
from series_maps import CRS, time_of, write_map


def series_info() -> SeriesInfo:
    grid = GeoGrid(CRS, (10.0, 0.0, 5e5, 0.0, -10.0, 5e6), 40, 60)
    dates = [
        SeriesDate((DatedMap(f"{day}.tif", grid, Acquisition(time_of(day), "test"), "ascending-15", (1, 1)),))
        for day in (0, 12, 24)
    ]
    square_metres = np.array([[2e5, 2e4, 1e4, 0, 1e4], [1.5e5, 7e4, 1e4, 0, 1e4], [2e5, 2e4, 1e4, 1e4, 0]])
    return SeriesInfo(SeriesConfig(), dates, grid, (), {}, area_rows(dates, square_metres), ())


def test_the_frequency_is_shown_by_its_colours(tmp_path: Path) -> None:
    percent = np.zeros((40, 60), np.uint8)
    percent[:, 20:40], percent[:20, 40:], percent[20:, 40:] = 50, 100, 255
    write_map(tmp_path / "frequency.tif", percent)
    draw_frequency(tmp_path / "quicklook.png", series_info(), tmp_path / "frequency.tif")
    picture = np.array(Image.open(tmp_path / "quicklook.png").convert("RGB")).astype(int)
    for code in (LAND, FLOOD, PERMANENT_WATER):
        shown = (abs(picture - COLOURS[code][:3]).max(-1) <= 2).sum()
        assert shown > 0.03 * picture[..., 0].size, code
    assert (picture == 240).all(-1).sum() > 0.05 * picture[..., 0].size, "pixels that were never clear are grey"


def test_the_areas_are_drawn_by_date(tmp_path: Path) -> None:
    draw_areas(tmp_path / "areas.png", series_info())
    picture = np.array(Image.open(tmp_path / "areas.png").convert("RGB")).astype(int)
    rows, columns = np.nonzero(abs(picture - COLOURS[FLOOD][:3]).max(-1) <= 2)
    peak = columns[rows == rows[columns < 600].min()].mean()  # the legend is at the right
    middle = (columns.min() + columns.max()) / 2
    assert abs(peak - middle) < 30, "the second of three dates has the most water"
