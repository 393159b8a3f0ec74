"""The demo scene with three maps of it, the app on its folder, and a page of it in Debian's Chromium."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from app_server import AppProcess
from exported_models import shared_folder

SIZE = {"width": 1000, "height": 650}
TIMEOUT_MS = 90_000
"""WebGL in software is slow on a machine that does other things at the same time."""


@pytest.fixture(scope="session")
def chromium() -> str:
    """Path of Chromium; skips without one, and fails in continuous integration."""
    found = shutil.which("chromium")
    if found is None and os.environ.get("CI"):
        pytest.fail("chromium is not installed: apt-get install chromium")
    if found is None:
        pytest.skip("Chromium is not installed: apt-get install chromium")
    return found


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of ``floodseg demo`` with its scene and the map ``flood``.

    The map ``earlier`` has the same products, and the radar image as its own image from before. ``damaged`` has a
    summary that is cut off.
    """
    with shared_folder(tmp_path_factory, "web-demo") as folder:
        flood = folder / "flood"
        if not flood.exists():
            command = [sys.executable, "-m", "floodseg", "demo", "--out-dir", str(folder)]
            subprocess.run(command, check=True, capture_output=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
            earlier, damaged = (Path(shutil.copytree(flood, folder / name)) for name in ("earlier", "damaged"))
            summary = json.loads((flood / "summary.json").read_text())
            summary["inputs"]["sar_before"] = summary["inputs"]["sar"]
            (earlier / "summary.json").write_text(json.dumps(summary))
            (damaged / "summary.json").write_text(json.dumps(summary)[:100])
    return folder


@pytest.fixture(scope="session")
def address(demo: Path, chromium: str) -> Iterator[str]:
    """Address of the app on the folder of the demo."""
    with AppProcess(demo) as process:
        yield process.address


@pytest.fixture(scope="module")
def browser(chromium: str) -> Iterator[object]:
    """Chromium without a window, with WebGL in software.

    Playwright runs an event loop until it is closed, in which tests of other modules cannot start theirs.
    """
    from playwright.sync_api import sync_playwright

    flags = ["--no-sandbox", "--enable-unsafe-swiftshader"]
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=chromium, args=flags)
        yield opened
        opened.close()


@pytest.fixture
def app(browser: object, address: str) -> Iterator[object]:
    """A new page; after the test, no request may have left the machine, and no script may have failed."""
    from web_page import AppPage

    context = browser.new_context(viewport=SIZE)  # type: ignore[attr-defined]
    context.set_default_timeout(TIMEOUT_MS)
    page = AppPage(context.new_page(), address)
    yield page
    context.close()
    assert page.foreign_requests == []
    assert page.errors == []
