"""Time from the command ``floodseg app`` to the first complete map in a browser, on the demo scene.

    floodseg demo --out-dir WORK
    python -m benchmarks.app.start WORK --json benchmarks/results/app-start.json

A round starts the command, opens the address of the map in a Chromium without a window, and waits until all tiles
of the map are drawn, then until the countries around it are. The browser runs before the command does, as on the
machine of a user. WebGL is drawn in software.
"""

import os
import shutil
import statistics
import sys
import time
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, Parameter

from benchmarks.report import report
from floodseg.app.exit_codes import run_and_exit

sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))

from app_server import AppProcess
from web_page import AppPage

app = App(help="Time to the first map of the local web app.")

_FLAGS = ["--no-sandbox", "--enable-unsafe-swiftshader"]


@app.default
def start(
    work: Path,
    *,
    rounds: int = 7,
    json_file: Annotated[Path | None, Parameter(name="--json")] = None,
) -> None:
    """Measure several rounds.

    Parameters
    ----------
    work
        Folder of ``floodseg demo``, with the map ``flood``.
    rounds
        Number of starts.
    json_file
        Write the figures to this JSON file.
    """
    from playwright.sync_api import sync_playwright

    load = os.getloadavg()[0]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=_FLAGS)
        with AppProcess(work) as server:
            scene = next(each for each in server.request("api/scenes").json()["scenes"] if each["name"] == "flood")
        times = [one_start(browser, work, f"#scene={scene['id']}") for _ in range(rounds)]
        browser.close()
    seconds = {name: [round(each[name], 2) for each in times] for name in times[0]}
    medians = {name: round(statistics.median(values), 2) for name, values in seconds.items()}
    report({"load_before": round(load, 1), "rounds": rounds, "median_seconds": medians, "seconds": seconds}, json_file)


def one_start(browser: Any, work: Path, fragment: str) -> dict[str, float]:
    """Return the seconds from the command to its address, to the panel, to the complete map, and to the countries."""
    context = browser.new_context(viewport={"width": 1000, "height": 650})
    began = time.perf_counter()
    with AppProcess(work) as server:
        seconds = {"address": time.perf_counter() - began}
        page = AppPage(context.new_page(), server.address)
        page.page.goto(server.address + fragment)
        page.page.wait_for_selector("#panel h1")
        seconds["panel"] = time.perf_counter() - began
        page.page.evaluate("import('./static/app.js').then(({ view }) => view.drawn())")
        seconds["map"] = time.perf_counter() - began
        page.idle()
        seconds["surroundings"] = time.perf_counter() - began
    context.close()
    return seconds


if __name__ == "__main__":
    run_and_exit(app)
