"""Depth and exposure of a map in a browser, compared with their files."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app_server import AppProcess
from floodseg.analysis.depth.style import DEPTH_COLOURS, class_labels
from floodseg.analysis.depth.totals import DEPTH_LIMITS
from floodseg.products.strips import FLOOD
from web_page import AppPage, close, inner_place, raster_values

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def address(server: AppProcess, chromium: str) -> str:
    """Address of the app on the folder with a depth and an exposure."""
    return server.address


def rows(app: AppPage, section: str) -> list[list[str]]:
    return [row.split("\t") for row in app.section(section).locator("tbody tr").all_inner_texts()]


def number(text: str) -> float:
    return float(text.split()[0].replace(",", ""))


@pytest.mark.parametrize("width", [1000, 360])
def test_depth_is_that_of_its_raster(app: AppPage, map_root: Path, width: int) -> None:
    app.page.set_viewport_size({"width": width, "height": 740})
    lon, lat = inner_place(map_root / "maps/river/flood.tif", FLOOD)
    app.open_scene("river", "depth:1")
    legend = app.page.locator("li:has(> #layer-depth) .legend li").all_inner_texts()
    assert [text.strip() for text in legend] == class_labels()
    (depth,) = raster_values(map_root / "maps/depth/depth.tif", lon, lat)
    assert close(app.colour(lon, lat), DEPTH_COLOURS[np.searchsorted(DEPTH_LIMITS, depth)])
    app.click_map(lon, lat)
    popup = app.page.locator(".maplibregl-popup")
    popup.wait_for()
    shown = dict(row.split("\t") for row in popup.locator(".values > table tr").all_inner_texts())
    lat, lon = map(float, popup.locator("p").inner_text().split(", "))
    (depth,) = raster_values(map_root / "maps/depth/depth.tif", lon, lat)
    assert number(shown["Water depth"]) == pytest.approx(depth, abs=0.006)
    inner, outer = popup.bounding_box(), app.page.locator("#map").bounding_box()
    assert inner is not None
    assert outer is not None
    for start, size in (("x", "width"), ("y", "height")):
        assert outer[start] - 1 <= inner[start]
        assert inner[start] + inner[size] <= outer[start] + outer[size] + 1


def test_volume_and_areas_by_depth_are_those_of_the_summary(app: AppPage, map_root: Path) -> None:
    app.open_scene("river")
    shown = dict(rows(app, "depth"))
    summary: dict[str, Any] = json.loads((map_root / "maps/depth/summary.json").read_text())
    assert number(shown["Volume of water"]) == pytest.approx(summary["volume_m3"], abs=0.6)
    assert number(shown["Mean depth"]) == pytest.approx(summary["depth_m"]["mean"], abs=0.006)
    areas = [entry["area_km2"] for entry in summary["depth_classes"]]
    assert np.count_nonzero(areas) == 3
    assert [number(shown[label]) for label in class_labels()] == pytest.approx(areas, abs=0.006)


def test_exposure_is_that_of_its_file(app: AppPage, map_root: Path) -> None:
    app.open_scene("river")
    (shown,) = rows(app, "exposure")
    (people,) = json.loads((map_root / "maps/exposure/exposure.json").read_text())["consequences"]
    assert shown[0] == "Estimated population: population (persons)"
    values = [people[key] for key in ("affected", "not_seen", "total_in_area")]
    assert [number(text) for text in shown[1:]] == pytest.approx(values, abs=0.06)
