"""Start of the app: time to the first map, the form for a place, and the user's own basemap."""

import json
import struct
import time
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from app_server import AppProcess
from floodseg.products.cog import COLOURS
from floodseg.products.strips import FLOOD
from web_page import AppPage, close, inner_place

pytestmark = pytest.mark.slow

RED = (200, 30, 30)
SEA, LAND_COLOUR = (219, 229, 236), (246, 244, 238)
"""Colours of ``basemap.js``."""


@pytest.fixture
def open_app(browser: Any, demo: Path) -> Iterator[Any]:
    """Return a function that starts another app with flags, and opens its page."""
    opened: list[tuple[Any, AppProcess]] = []

    def start(*flags: str) -> AppPage:
        process = AppProcess(demo, flags)
        page = browser.new_page(viewport={"width": 900, "height": 600})
        opened.append((page, process))
        return AppPage(page, process.address)

    yield start
    for page, process in opened:
        page.close()
        process.stop()


def test_first_map_is_soon_visible(open_app: Any, demo: Path) -> None:
    """The wide limit finds waiting and repeated work on a machine that does other things at the same time."""
    place = inner_place(demo / "flood/flood.tif", FLOOD)
    began = time.monotonic()
    app = open_app()
    app.open_scene("flood", "flood:1")
    assert close(app.colour(*place), COLOURS[FLOOD][:3])
    assert time.monotonic() - began < 60
    assert len([url for url in app.requests if "/tiles/" in url]) < 60


def test_place_and_date_start_a_map_only_if_allowed(app: AppPage, open_app: Any) -> None:
    app.open("page=new")
    assert app.page.get_by_text("A place and a date").count() == 0
    allowed = open_app("--allow-remote")
    sent: list[Any] = []

    def answer(route: Any) -> None:
        """Take the form in place of the server, which would search the catalogue."""
        if route.request.method == "POST":
            sent.append(json.loads(route.request.post_data))
            route.fulfill(status=400, json={"error": "the catalogue is not asked in tests; end"})
        else:
            route.continue_()

    allowed.page.route("**/api/jobs", answer)
    allowed.open("page=new")
    allowed.page.get_by_label("A place and a date").check()
    allowed.page.get_by_label("Place", exact=True).fill("Faenza, IT")
    allowed.page.get_by_label("Date", exact=True).fill("2024-09-19")
    allowed.page.get_by_label("Name of the map").fill("faenza")
    allowed.page.get_by_role("button", name="Start").click()
    allowed.wait_until(lambda: sent)
    assert sent == [{"kind": "map", "name": "faenza", "settings": {"place": "Faenza, IT", "date": "2024-09-19"}}]
    allowed.wait_until(lambda: "the catalogue is not asked" in allowed.page.locator("#error p").inner_text())
    assert allowed.foreign_requests == []


def test_world_is_drawn_on_both_sides_of_the_antimeridian(app: AppPage) -> None:
    """Russia, Fiji and Antarctica cross it, and become bands around the world where that is not considered."""
    app.open("page=new")
    assert close(app.colour(120.5, -27.0), LAND_COLOUR)  # Australia, beside its name
    assert close(app.colour(-30.0, 52.0), SEA)  # the Atlantic
    app.page.evaluate("import('./static/app.js').then(({ view }) => view.map.jumpTo({ center: [-150, 68], zoom: 2 }))")
    app.idle()
    assert close(app.colour(-173.0, 66.5), LAND_COLOUR)  # Chukotka
    assert close(app.colour(-150.0, 73.0), SEA)
    app.page.evaluate("import('./static/app.js').then(({ view }) => view.map.jumpTo({ center: [-100, -78], zoom: 2 }))")
    app.idle()
    assert close(app.colour(-100.0, -79.5), LAND_COLOUR)


@pytest.mark.parametrize("kind", ["pictures", "vectors"])
def test_own_basemap_is_drawn(open_app: Any, tmp_path: Path, kind: str) -> None:
    picture = BytesIO()
    Image.new("RGB", (256, 256), RED).save(picture, "PNG")
    layers = {"vector_layers": [{"id": "water"}]}
    tiles = {"pictures": (picture.getvalue(), 2, {}), "vectors": (water_tile(), 1, layers)}
    file = tmp_path / "base.pmtiles"
    file.write_bytes(pmtiles(*tiles[kind]))
    app = open_app("--basemap", str(file))
    app.open("page=new")
    # Niger, which is land on the built-in map
    assert close(app.colour(9.0, 17.0), {"pictures": RED, "vectors": SEA}[kind])
    assert app.foreign_requests == []


def pmtiles(tile: bytes, tile_type: int, metadata: dict[str, Any]) -> bytes:
    """Return a PMTiles 3 archive with one tile at zoom 0, without compression."""
    directory = varint(1) + varint(0) + varint(1) + varint(len(tile)) + varint(1)
    text = json.dumps(metadata).encode()
    places = 127, 127 + len(directory), 127 + len(directory) + len(text)
    numbers = (places[0], len(directory), places[1], len(text), places[2], 0, places[2], len(tile), 1, 1, 1)
    world = (-1_800_000_000, -850_000_000, 1_800_000_000, 850_000_000)
    header = struct.pack("<7sB11Q6B4iB2i", b"PMTiles", 3, *numbers, 1, 1, 1, tile_type, 0, 0, *world, 0, 0, 0)
    return header + directory + text + tile


def water_tile() -> bytes:
    """Return a vector tile whose layer ``water`` covers it."""
    square = (9, 0, 0, 26, 8192, 0, 0, 8192, 8191, 0, 15)  # move to 0 0, three lines of 4096, close
    feature = b"\x18\x03" + message(4, b"".join(map(varint, square)))
    layer = message(1, b"water") + message(2, feature) + b"\x28" + varint(4096) + b"\x78\x02"
    return message(3, layer)


def message(number: int, content: bytes) -> bytes:
    """Return a length-delimited field of a protocol buffer."""
    return varint(number << 3 | 2) + varint(len(content)) + content


def varint(number: int) -> bytes:
    head = b""
    while number > 127:
        head += bytes([number & 127 | 128])
        number >>= 7
    return head + bytes([number])
