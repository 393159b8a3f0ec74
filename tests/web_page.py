"""A page of ``floodseg app`` in a browser: what the tests do and see there."""

import io
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import rasterio
from numpy.typing import NDArray
from PIL import Image
from playwright.sync_api import Locator, Page
from rasterio.warp import transform
from scipy.ndimage import distance_transform_edt

IDLE = """async () => {
  const { view, complete } = await import("./static/app.js");
  await complete;
  while (!view.map.loaded() || !view.map.areTilesLoaded()) await new Promise((resolve) => setTimeout(resolve, 50));
  await new Promise((resolve) => { view.map.once("render", resolve); view.map.triggerRepaint(); });
}"""
PROJECT = """async ([lon, lat]) => {
  const { view } = await import("./static/app.js");
  const { x, y } = view.map.project([lon, lat]);
  const box = view.map.getContainer().getBoundingClientRect();
  return [x + box.left, y + box.top];
}"""


@dataclass
class AppPage:
    """A page at an address of the app, with what it requested and reported."""

    page: Page
    address: str
    requests: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))

    @property
    def foreign_requests(self) -> list[str]:
        """Requests to anything but the server; blob: and data: addresses stay in the browser."""
        host = urlsplit(self.address).netloc
        known = ("blob:", "data:")
        return [url for url in self.requests if urlsplit(url).netloc != host and not url.startswith(known)]

    @property
    def hash(self) -> dict[str, str]:
        # the address that the browser driver knows is a little late
        text: str = self.page.evaluate("location.hash.slice(1)")
        return dict(part.split("=", 1) for part in text.split("&") if part)

    def api(self, path: str) -> Any:
        answer = self.page.request.get(f"{self.address}api/{path}")
        assert answer.ok, answer.text()
        return answer.json()

    def scene(self, name: str) -> dict[str, Any]:
        """The map of a name, as the server lists it."""
        found: dict[str, Any] = next(scene for scene in self.api("scenes")["scenes"] if scene["name"] == name)
        return found

    def open(self, fragment: str = "") -> None:
        """Open the page with a hash, also if it is open with another one, and wait for the map."""
        self.page.goto("about:blank")
        self.page.goto(f"{self.address}#{fragment}")
        self.page.wait_for_selector("#panel h1")
        self.idle()

    def open_scene(self, name: str, layers: str | None = None, **values: str) -> dict[str, Any]:
        """Open a map and return what the server lists about it."""
        scene = self.scene(name)
        values |= {} if layers is None else {"layers": layers}
        self.open("&".join([f"scene={scene['id']}", *(f"{key}={value}" for key, value in values.items())]))
        return scene

    def idle(self) -> None:
        """Wait until the map has all tiles and has drawn them."""
        self.page.evaluate(IDLE)

    def idle_before(self) -> None:
        """Wait until the map on the left of the divider has its tiles."""
        self.wait_until(lambda: any(f"/tiles/{self.hash['before']}/" in url for url in self.requests))
        self.page.wait_for_load_state("networkidle")

    def section(self, name: str) -> Locator:
        """A section of the panel, unfolded."""
        found = self.page.locator(f"[data-section={name}]")
        if not found.evaluate("each => each.open"):
            found.locator("summary").first.click()
        return found

    def on_screen(self, lon: float, lat: float) -> tuple[float, float]:
        x, y = self.page.evaluate(PROJECT, [lon, lat])
        return x, y

    def click_map(self, lon: float, lat: float) -> None:
        self.page.mouse.click(*self.on_screen(lon, lat))

    def colour(self, lon: float, lat: float) -> tuple[int, int, int]:
        """Colour of the screen at a place."""
        x, y = self.on_screen(lon, lat)
        picture = Image.open(io.BytesIO(self.page.screenshot())).convert("RGB")
        colour: tuple[int, int, int] = picture.getpixel((int(x), int(y)))  # type: ignore[assignment]
        return colour

    def wait_until(self, condition: Any, seconds: float = 60) -> None:
        """Wait until a function returns a true value."""
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, f"not within {seconds} s"
            self.page.wait_for_timeout(100)


def close(first: tuple[int, ...], second: tuple[int, ...]) -> bool:
    """True if two colours differ by less than rounding."""
    return max(abs(a - b) for a, b in zip(first, second, strict=True)) <= 3


def inner_place(path: Path, code: int) -> tuple[float, float]:
    """Longitude and latitude of the centre of the pixel of a class that is farthest from all other classes."""
    with rasterio.open(path) as dataset:
        inside: NDArray[np.bool_] = np.pad(dataset.read(1) == code, 1)
        row, column = np.unravel_index(np.argmax(distance_transform_edt(inside)), inside.shape)
        x, y = dataset.xy(row - 1, column - 1)
        (lon,), (lat,) = transform(dataset.crs, "EPSG:4326", [x], [y])
    return float(lon), float(lat)


def raster_values(path: Path, lon: float, lat: float) -> list[float]:
    """Values of all bands of a raster at a place."""
    with rasterio.open(path) as dataset:
        (x,), (y,) = transform("EPSG:4326", dataset.crs, [lon], [lat])
        return [float(value) for value in next(dataset.sample([(x, y)]))]
