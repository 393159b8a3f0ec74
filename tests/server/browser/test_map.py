"""Opened maps in a browser: layers, values, comparison, areas, files and the address."""

import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
import rasterio
from PIL import Image
from rasterio.warp import transform

from floodseg.products.cog import COLOURS
from floodseg.products.strips import CLASS_NAMES, EXCLUDED, FLOOD, LAND, PERMANENT_WATER
from web_page import AppPage, close, inner_place, raster_values

pytestmark = pytest.mark.slow

CODES = (LAND, FLOOD, PERMANENT_WATER)


@pytest.mark.parametrize("code", CODES)
def test_classes_have_their_colours(app: AppPage, demo: Path, code: int) -> None:
    place = inner_place(demo / "flood/flood.tif", code)
    app.open_scene("flood", "flood:1")
    assert close(app.colour(*place), COLOURS[code][:3])


def test_excluded_areas_are_hatched(app: AppPage, demo: Path) -> None:
    """The map is zoomed in, so that the screen around the place shows nothing else."""
    lon, lat = inner_place(demo / "flood/flood.tif", EXCLUDED)
    app.open_scene("flood", "flood:1", lon=f"{lon:.6f}", lat=f"{lat:.6f}", zoom="15")
    x, y = app.on_screen(lon, lat)
    picture = app.page.screenshot(clip={"x": x - 16, "y": y - 16, "width": 32, "height": 32})
    colours = {colour for _, colour in Image.open(io.BytesIO(picture)).convert("RGB").getcolors() or []}
    assert colours == {COLOURS[EXCLUDED][:3], (255, 255, 255)}
    swatch = app.page.locator(".legend li", has_text="excluded").locator(".swatch")
    assert "repeating-linear-gradient" in swatch.evaluate("each => each.style.background")


def test_opacity_mixes_a_layer_with_the_one_below(app: AppPage, demo: Path) -> None:
    place = inner_place(demo / "flood/flood.tif", FLOOD)
    app.open_scene("flood", "flood:1,sar_vv:1")
    above = app.colour(*place)
    slider = app.page.get_by_label("Opacity of Flood map")
    slider.fill("0")
    app.idle()
    below = app.colour(*place)
    slider.fill("50")
    app.idle()
    mixed = tuple((a + b) // 2 for a, b in zip(above, below, strict=True))
    assert above != below
    assert close(app.colour(*place), mixed)
    assert "flood:0.5" in app.hash["layers"]


def test_all_layers_are_drawn_and_have_a_legend(app: AppPage, demo: Path) -> None:
    place = inner_place(demo / "flood/flood.tif", FLOOD)
    scene = app.open_scene("flood", "")
    names = [layer["name"] for layer in app.api(f"scenes/{scene['id']}")["layers"]]
    assert {"flood", "water_probability", "sar_vv", "sar_vh", "optical"} <= set(names)
    bare = app.colour(*place)
    for name in names:
        box = app.page.locator(f"#layer-{name}")
        box.check()
        app.idle()
        assert app.colour(*place) != bare, name
        legend = app.page.locator(f"li:has(> #layer-{name}) :is(.legend, .ramp)")
        assert legend.count() == (0 if name.startswith("optical") else 1), name
        box.uncheck()
    app.idle()
    assert app.colour(*place) == bare


def test_outlines_of_water_are_drawn(app: AppPage) -> None:
    app.open_scene("flood", "")
    bare = app.page.locator("#map").screenshot()
    app.page.get_by_label("Outlines of water", exact=True).check()
    app.wait_until(lambda: app.page.locator("#map").screenshot() != bare)
    assert any(url.endswith("/polygons") for url in app.requests)


@pytest.mark.parametrize("code", CODES)
def test_values_on_click_are_those_of_the_rasters(app: AppPage, demo: Path, code: int) -> None:
    place = inner_place(demo / "flood/flood.tif", code)
    app.open_scene("flood", "flood:1")
    app.click_map(*place)
    popup = app.page.locator(".maplibregl-popup")
    popup.wait_for()
    popup.locator("details summary").click()
    shown = dict(row.split("\t") for row in popup.locator("tr").all_inner_texts())
    # the click is at the nearest pixel of the screen
    lat, lon = map(float, popup.locator("p").inner_text().split(", "))
    assert shown["Class"] == CLASS_NAMES[code]
    percent = raster_values(demo / "flood/water_probability.tif", lon, lat)[0]
    assert shown["Water probability"] == f"{percent:.0f} %"
    for name, value in zip(("VV", "VH"), raster_values(demo / "scene/sar.tif", lon, lat), strict=True):
        assert float(shown[f"Radar {name}"].removesuffix(" dB")) == pytest.approx(value, abs=0.006)
    assert len([name for name in shown if name.startswith("Reflectance")]) == 13


def test_a_click_outside_the_map_shows_the_sentence_of_the_server(app: AppPage) -> None:
    scene = app.open_scene("flood", "flood:1")
    west, south, _, _ = scene["bounds"]
    app.click_map(west, south)
    app.page.locator("#error").wait_for()
    assert "lies outside the map; click on the map" in app.page.locator("#error p").inner_text()


def test_swipe_between_before_and_after(app: AppPage, demo: Path) -> None:
    place = inner_place(demo / "flood/flood.tif", FLOOD)
    scene = app.open_scene("earlier", "sar_vv:1")
    radar = app.colour(*place)
    app.open_scene("earlier", "flood:1", before=f"{scene['id']}/sar_before_vv", swipe="0.02")
    handle = app.page.get_by_role("slider", name="Divider")
    handle.wait_for()
    app.idle()
    app.idle_before()
    assert close(app.colour(*place), COLOURS[FLOOD][:3])
    box = app.page.locator("#view").bounding_box()
    grip = handle.bounding_box()
    assert box is not None
    assert grip is not None
    app.page.mouse.move(grip["x"] + grip["width"] / 2, grip["y"] + grip["height"] / 2)
    app.page.mouse.down()
    app.page.mouse.move(box["x"] + box["width"] - 2, box["y"] + 300, steps=5)
    app.page.mouse.up()
    assert close(app.colour(*place), radar)
    assert float(app.hash["swipe"]) > 0.98
    app.page.get_by_role("button", name="Zoom in").click(trial=True, timeout=10_000)  # the divider does not cover it
    handle.press("Home")
    assert close(app.colour(*place), COLOURS[FLOOD][:3])
    assert handle.get_attribute("aria-valuenow") == "0"


def test_comparison_of_two_maps(app: AppPage, demo: Path) -> None:
    place = inner_place(demo / "flood/flood.tif", FLOOD)
    app.open_scene("flood", "flood:1")
    other = app.scene("earlier")
    app.page.get_by_label("Left side", exact=True).select_option(other["id"])
    app.page.get_by_role("slider", name="Divider").press("End")
    app.wait_until(lambda: any(f"/tiles/{other['id']}/flood/" in url for url in app.requests))
    app.wait_until(lambda: close(app.colour(*place), COLOURS[FLOOD][:3]))
    assert app.page.locator("#side-before").inner_text() == "earlier"
    assert app.hash["before"] == other["id"]
    app.page.get_by_label("Left side", exact=True).select_option("")
    assert app.page.get_by_role("slider", name="Divider").count() == 0
    assert "before" not in app.hash


def test_numbers_of_the_map_are_those_of_its_summary(app: AppPage, demo: Path) -> None:
    app.open_scene("flood")
    summary = json.loads((demo / "flood/summary.json").read_text())
    rows = [row.split("\t")[:2] for row in app.section("areas").locator("tbody tr").all_inner_texts()]
    shown = {name.strip(): float(value) for name, value in rows}
    for name, area in summary["area_km2"].items():
        assert shown[name.replace("_", " ")] == pytest.approx(area, abs=0.006)
    label = app.section("histogram").locator("svg").get_attribute("aria-label") or ""
    with rasterio.open(demo / "flood/water_probability.tif") as dataset:
        assert f"{np.sum(dataset.read(1) <= 100):,} pixels" in label


def draw_corners(demo: Path) -> tuple[list[tuple[float, float]], dict[int, int]]:
    """Corners of a rectangle of 400 x 300 pixels, and its pixels by class."""
    with rasterio.open(demo / "flood/flood.tif") as dataset:
        codes = dataset.read(1)[400:700, 500:900]
        rows, columns = [400, 400, 700, 700], [500, 900, 900, 500]
        x, y = zip(*(dataset.transform @ corner for corner in zip(columns, rows, strict=True)), strict=True)
        lon, lat = transform(dataset.crs, "EPSG:4326", x, y)
    return list(zip(lon, lat, strict=True)), {code: int(np.sum(codes == code)) for code in CODES}


def check_numbers(app: AppPage, pixels: dict[int, int], tolerance: float) -> None:
    result = app.page.locator("#area-result")
    result.locator("table").wait_for()
    rows = [row.split("\t")[:2] for row in result.locator("tbody tr").all_inner_texts()]
    shown = {name.strip(): float(value) for name, value in rows}
    for code, count in pixels.items():
        assert shown[CLASS_NAMES[code]] == pytest.approx(count * 1e-4, rel=tolerance, abs=0.02)
    assert result.locator("svg").count() == 1


def test_area_drawn_with_the_mouse(app: AppPage, demo: Path) -> None:
    corners, pixels = draw_corners(demo)
    app.open_scene("flood", "flood:1")
    area = app.section("area")
    area.get_by_role("button", name="Draw on the map").click()
    for corner in corners:
        app.click_map(*corner)
    area.get_by_role("button", name="Get the numbers").click()
    check_numbers(app, pixels, 0.02)  # the clicks are at whole pixels of the screen


def test_area_typed_as_coordinates(app: AppPage, demo: Path) -> None:
    corners, pixels = draw_corners(demo)
    app.open_scene("flood", "flood:1")
    area = app.section("area")
    area.get_by_label("Corners").fill("\n".join(f"{lon:.6f} {lat:.6f}" for lon, lat in corners))
    area.get_by_role("button", name="Get the numbers").click()
    check_numbers(app, pixels, 0.003)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("11.95 45.0", "needs at least 3 corners"),
        ("11.95 north", '"11.95 north" is no corner'),
        ("1 1\n2 1\n2 2", "no pixel"),
    ],
)
def test_area_that_cannot_be_used_is_explained(app: AppPage, text: str, sentence: str) -> None:
    app.open_scene("flood", "flood:1")
    area = app.section("area")
    area.get_by_label("Corners").fill(text)
    area.get_by_role("button", name="Get the numbers").click()
    app.wait_until(lambda: sentence in app.page.locator("#error p").inner_text())


def test_downloads_have_the_bytes_of_the_files(app: AppPage, demo: Path) -> None:
    app.open_scene("flood")
    links = app.section("downloads").locator("ul a")
    names = {path.name for path in (demo / "flood").iterdir() if path.suffix != ".xml"}
    assert set(links.all_inner_texts()) >= names
    for link in links.all():
        with app.page.expect_download() as download:
            link.click()
        content = Path(download.value.path()).read_bytes()
        assert content == (demo / "flood" / link.inner_text()).read_bytes()
        assert download.value.suggested_filename == link.inner_text()


def test_zip_holds_all_products(app: AppPage, demo: Path) -> None:
    app.open_scene("flood")
    downloads = app.section("downloads")
    with app.page.expect_download() as download:
        downloads.get_by_role("link", name="All as a zip").click()
    assert download.value.suggested_filename == "flood.zip"
    with zipfile.ZipFile(io.BytesIO(Path(download.value.path()).read_bytes())) as archive:
        held = {name.removeprefix("flood/"): archive.read(name) for name in archive.namelist()}
    assert set(held) == set(downloads.locator("ul a").all_inner_texts())
    assert all(content == (demo / "flood" / name).read_bytes() for name, content in held.items())


def test_address_restores_the_view(app: AppPage) -> None:
    app.open_scene("flood", "sar_vv:0.4,flood:0.6", lon="12.07", lat="44.97", zoom="12.5")
    app.page.get_by_label("Water probability").first.check()
    app.page.locator("#map canvas").press("ArrowRight")
    app.wait_until(lambda: float(app.hash["lon"]) > 12.071)
    left, place = app.page.url, app.on_screen(12.07, 44.97)
    app.page.goto("about:blank")
    app.page.goto(left)
    app.page.wait_for_selector("#layer-flood")
    app.idle()
    assert app.page.url == left
    assert app.page.locator(".layers input:checked").count() == 3
    assert app.page.get_by_label("Opacity of Flood map").input_value() == "60"
    assert app.on_screen(12.07, 44.97) == pytest.approx(place, abs=1)  # the address has five decimals
