"""List of maps, new maps and jobs in a browser, with the mouse, with the keyboard alone and on a narrow screen."""

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from web_page import AppPage

pytestmark = pytest.mark.slow


def card_of(app: AppPage, name: str) -> Any:
    """Return the card of a map. Other tests add maps to the list."""
    return app.page.locator(".card", has=app.page.get_by_text(name, exact=True))


def test_list_shows_date_model_area_and_picture(app: AppPage, demo: Path) -> None:
    app.open()
    summary = json.loads((demo / "flood/summary.json").read_text())
    card = card_of(app, "flood")
    text = card.inner_text()
    assert "2024-10-19 05:27 UTC" in text
    assert f"Flood {summary['area_km2']['flood']:.2f} km²" in text
    assert "Model s1s2" in text
    app.wait_until(lambda: card.locator("img").evaluate("image => image.naturalWidth") > 0)
    assert "damaged/summary.json: is not JSON" in app.page.locator(".problem").inner_text()


def test_map_is_opened_from_the_list_and_on_the_map(app: AppPage) -> None:
    app.open()
    card_of(app, "flood").click()
    app.page.wait_for_selector("#layer-flood")
    app.page.get_by_role("link", name="All maps").click()
    app.page.wait_for_selector(".card")
    app.idle()
    west, south, east, north = app.scene("flood")["bounds"]
    app.click_map((west + east) / 2, (south + north) / 2)
    app.page.wait_for_selector("#layer-flood")


def test_missing_map_is_explained(app: AppPage) -> None:
    app.page.goto(f"{app.address}#scene=000000000000")
    app.page.locator("#error").wait_for()
    assert "is not in the folders of the app" in app.page.locator("#error p").inner_text()
    app.page.get_by_role("button", name="Close the message").click()
    assert app.page.locator("#error").is_hidden()


def choose(app: AppPage, title: str, *steps: str) -> None:
    """Choose a file in the dialog by its folders and name."""
    app.page.get_by_role("button", name=f"Choose a file: {title}", exact=True).click()
    for step in steps:
        app.page.get_by_role("dialog").get_by_role("button", name=step, exact=True).click()


def start(app: AppPage, name: str) -> Any:
    """Start the job of the form and return its row."""
    app.page.get_by_label("Name of the map").fill(name)
    app.page.get_by_role("button", name="Start").click()
    row = app.page.locator(".jobs > li", has=app.page.get_by_role("heading", name=name, exact=True))
    row.wait_for()
    return row


def test_settings_have_their_explanations(app: AppPage) -> None:
    app.open("page=new")
    app.page.get_by_text("More settings").click()
    for setting in app.api("info")["settings"]:
        field = app.page.get_by_label(setting["title"], exact=True)
        described = field.get_attribute("aria-describedby")
        assert app.page.locator(f"#{described}").inner_text() == setting["help"]


def test_map_from_files_is_followed_and_opened(app: AppPage, demo: Path) -> None:
    app.open("page=new")
    choose(app, "Radar image", "scene/", "sar.tif")
    assert app.page.get_by_label("Radar image", exact=True).input_value() == str(demo / "scene/sar.tif")
    app.page.get_by_label("Model", exact=True).select_option("s1-lite")
    row = start(app, "from-files")
    app.wait_until(lambda: "running" in row.inner_text() and row.locator("progress").is_visible())
    app.wait_until(lambda: "megapixels" in row.locator(".phase").inner_text())
    row.get_by_role("link", name="Open the map").click()
    app.page.wait_for_selector("#layer-flood")
    assert app.page.locator("#panel h1").inner_text() == "from-files"
    assert json.loads((demo / "from-files/summary.json").read_text())["model"] == "s1-lite"


def test_failed_job_shows_the_sentence_of_the_terminal(app: AppPage, demo: Path) -> None:
    wrong = demo / "scene/dem.tif"
    command = [sys.executable, "-m", "floodseg", "predict", "--sar", str(wrong), "--out-dir", str(demo / "fails")]
    terminal = subprocess.run(command, capture_output=True, text=True, check=False).stderr
    app.open("page=new")
    choose(app, "Radar image", "scene/", "dem.tif")
    row = start(app, "fails")
    app.wait_until(lambda: row.locator(".state").inner_text() == "failed")
    assert terminal.strip().endswith(row.locator(".job-error").inner_text())


def test_refused_form_shows_the_sentence_of_the_server(app: AppPage) -> None:
    app.open("page=new")
    app.page.get_by_label("Radar image", exact=True).fill("/etc/passwd")
    app.page.get_by_role("button", name="Start").click()
    app.page.locator("#error").wait_for()
    assert "/etc/passwd" in app.page.locator("#error p").inner_text()
    assert app.page.url.endswith("#page=new")


def test_jobs_wait_in_a_queue_and_are_cancelled(app: AppPage, demo: Path) -> None:
    for name in ("first", "second"):
        app.open("page=new")
        choose(app, "Radar image", "scene/", "sar.tif")
        app.page.get_by_label("Model", exact=True).select_option("s1-efficient")
        app.page.get_by_text("More settings").click()
        app.page.get_by_label("Test-time augmentation", exact=True).check()
        row = start(app, name)
    assert "place 1 in the queue" in row.inner_text()
    assert app.page.locator("#active-jobs").inner_text() == "2"
    row.get_by_role("button", name="Cancel second").click()
    app.wait_until(lambda: row.locator(".state").inner_text() == "cancelled")
    app.page.get_by_role("button", name="Cancel first").click()
    began = time.monotonic()
    app.wait_until(lambda: app.page.locator("#active-jobs").is_hidden())
    assert time.monotonic() - began < 30
    assert [path for name in ("first", "second") for path in (demo / name).glob("[!.]*")] == []


def test_jobs_of_another_tab_appear_in_the_open_list(app: AppPage, demo: Path) -> None:
    app.open()

    def start_elsewhere(name: str) -> None:
        form = {"kind": "predict", "name": name, "settings": {"sar": [str(demo / "scene/sar.tif")], "model": "otsu"}}
        assert app.page.request.post(f"{app.address}api/jobs", data=form).ok

    start_elsewhere("elsewhere")
    app.page.get_by_role("link", name="Jobs").click()
    app.page.get_by_role("heading", name="elsewhere", exact=True).wait_for()
    app.wait_until(lambda: app.page.locator("#active-jobs").is_hidden())
    start_elsewhere("later")
    row = app.page.locator(".jobs > li", has=app.page.get_by_role("heading", name="later", exact=True))
    row.wait_for()
    app.wait_until(lambda: row.locator(".state").inner_text() == "finished")


@pytest.mark.parametrize("fragment", ["", "page=new", "page=jobs", "scene"])
def test_narrow_screen_has_no_horizontal_scrolling(app: AppPage, fragment: str) -> None:
    app.page.set_viewport_size({"width": 360, "height": 740})
    if fragment == "scene":
        app.open_scene("flood")
        for details in app.page.locator("#panel > details").all():
            details.evaluate("each => { each.open = true; }")
    else:
        app.open(fragment)
    if fragment == "page=new":
        app.page.get_by_text("More settings").click()
    for part in ("html", "#panel", "header"):
        width, inner = app.page.locator(part).evaluate("each => [each.clientWidth, each.scrollWidth]")
        assert inner <= width <= 360, part
    box = app.page.locator("#map").bounding_box()
    assert box is not None
    assert box["width"] == 360
    assert box["height"] > 250


def tab_to(app: AppPage, label: str) -> None:
    """Press Tab until an element with an accessible name has the focus."""
    name = """() => {
      const each = document.activeElement;
      return each === document.body ? "" : each.ariaLabel || each.labels?.[0]?.innerText || each.innerText;
    }"""
    for _ in range(80):
        app.page.keyboard.press("Tab")
        if label in app.page.evaluate(name):
            return
    pytest.fail(f"{label} cannot be reached")


def test_keyboard_alone(app: AppPage) -> None:
    app.open()
    press = app.page.keyboard.press
    tab_to(app, "earlier")
    press("Enter")
    app.page.wait_for_selector("#layer-flood")
    tab_to(app, "Water probability")
    press("Space")
    assert "water_probability:1" in app.hash["layers"]
    tab_to(app, "Opacity of Water probability")
    press("ArrowLeft")
    assert "water_probability:0.95" in app.hash["layers"]
    tab_to(app, "Numbers of an area")
    press("Enter")
    tab_to(app, "Draw on the map")
    press("Enter")
    tab_to(app, "Map. Arrow keys")
    assert app.page.locator("#crosshair").is_visible()
    for key in ("ArrowRight", "ArrowDown", "ArrowLeft"):
        press("Enter")
        press(key)
        app.page.wait_for_timeout(700)
    assert len(app.page.get_by_label("Corners").input_value().splitlines()) == 3
    tab_to(app, "floodseg")
    tab_to(app, "Get the numbers")
    press("Enter")
    app.page.locator("#area-result table").wait_for()
    assert "square kilometres" in app.page.locator("#status").inner_text()


def test_enter_on_the_map_shows_the_values_at_its_centre(app: AppPage) -> None:
    app.open_scene("flood")
    app.page.locator("#map canvas").focus()
    app.page.keyboard.press("Enter")
    app.page.locator(".maplibregl-popup").wait_for()
    assert "Values at" in app.page.locator("#status").inner_text()
    assert "Water probability" in app.page.locator("#status").inner_text()


@pytest.mark.parametrize("fragment", ["", "page=new", "page=jobs", "scene"])
def test_controls_have_names_for_screen_readers(app: AppPage, fragment: str) -> None:
    app.open_scene("flood") if fragment == "scene" else app.open(fragment)
    for details in app.page.locator("details").all():
        details.evaluate("each => { each.open = true; }")
    controls = app.page.locator("a, button, input, select, textarea, summary, progress, svg[role=img], canvas").all()
    nameless = """each => !(each.ariaLabel || each.title || each.innerText?.trim() || each.labels?.length)"""
    assert [each.evaluate("each => each.outerHTML") for each in controls if each.evaluate(nameless)] == []
    assert app.page.locator("img:not([alt])").count() == 0
    assert app.page.locator("h1").count() == 1
    assert app.page.locator("[role=status][role=status], [role=alert]").count() == 2
    assert app.page.evaluate("document.documentElement.lang") == "en"
