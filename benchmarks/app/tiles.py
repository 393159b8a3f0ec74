"""Time of tiles and memory of ``floodseg app`` on a large simulated map, with several clients.

    python -m benchmarks.app.tiles WORK --json benchmarks/results/app-tiles.json

The map has the products of ``floodseg predict``: cloud-optimized GeoTIFFs of classes and probability. Each client moves
over it at random: it zooms, pans by one tile, or jumps to another place, as a page does, and asks for a block of
neighbouring tiles each time. Server and clients share the machine.
"""

import json
import os
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from affine import Affine
from cyclopts import App, Parameter

from benchmarks.report import report
from floodseg.app.exit_codes import run_and_exit
from floodseg.geo.grid import GeoGrid
from floodseg.products.cog import COLOURS, RasterFile
from floodseg.products.folder import CLASSES, PROBABILITY, SUMMARY
from floodseg.products.raw_raster import RasterFormat
from floodseg.products.strips import CLASS_NAMES, FLOOD, LAND, NODATA, PERCENT_NODATA
from floodseg.simulate.random_fields import periodic_field
from floodseg.system.files import write_text

sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))

from app_server import AppProcess

app = App(help="Time of tiles and memory of the local web app.")

_CRS = "EPSG:32632"
_TRANSFORM = Affine(10, 0, 600_000, 0, -10, 5_200_000)
_PERIOD = 2500
"""Rows and columns after which the simulated water is repeated."""
_WATER_SHARE = 0.2
_BLOCK = 3
"""Tiles a side that a client asks for at each place."""
_LAYERS = ("flood", "water_probability")


@app.default
def tiles(
    work: Path,
    *,
    size: int = 10_000,
    clients: int = 4,
    requests: int = 500,
    json_file: Annotated[Path | None, Parameter(name="--json")] = None,
) -> None:
    """Measure one run.

    Parameters
    ----------
    work
        Folder for the map, which is written if it is missing.
    size
        Rows and columns of the map.
    clients
        Number of clients.
    requests
        Number of tiles of each client.
    json_file
        Write the figures to this JSON file.
    """
    if not (work / "map" / SUMMARY).is_file():
        write_map(work / "map", size)
    load = os.getloadavg()[0]
    with AppProcess(work) as server:
        crowd = Crowd(server, clients)
        cpu = cpu_seconds(server)
        crowd.pan(requests)
        cpu = cpu_seconds(server) - cpu
        milliseconds = 1000 * np.array(crowd.seconds)
        peak = peak_mb(server)
    report(
        {
            "size": size, "clients": clients, "load_before": round(load, 1), "tiles": len(milliseconds),
            "milliseconds": {f"p{each}": round(float(np.percentile(milliseconds, each)), 1) for each in (50, 95, 99)},
            "cpu_milliseconds_per_tile": round(1000 * cpu / len(milliseconds), 1), "peak_resident_mb": peak,
        },
        json_file,
    )  # fmt: skip


@dataclass
class Crowd:
    """Clients that move over the first map of a server."""

    server: AppProcess
    clients: int
    seed: int = 0
    seconds: list[float] = field(default_factory=list)
    """Time of each tile."""

    def __post_init__(self) -> None:
        scene = self.server.request("api/scenes").json()["scenes"][0]
        self._layers = self.server.request(f"api/scenes/{scene['id']}").json()["layers"]
        self._id = scene["id"]

    def pan(self, requests: int) -> None:
        """Ask for ``requests`` tiles with each client.

        Raises:
            RuntimeError: a tile was refused.
        """
        failures: list[str] = []
        threads = [
            threading.Thread(target=self._move, args=(np.random.default_rng([self.seed, client]), requests, failures))
            for client in range(self.clients)
        ]
        self.seed += 1
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if failures:
            raise RuntimeError(failures[0])

    def _move(self, rng: np.random.Generator, requests: int, failures: list[str]) -> None:
        done = 0
        while done < requests and not failures:
            layer = self._layers[rng.integers(len(self._layers))]
            west, south, east, north = layer["bounds"]
            zoom = int(rng.integers(max(0, layer["maxzoom"] - 6), layer["maxzoom"] + 2))
            column, row = tile_at(zoom, rng.uniform(west, east), rng.uniform(south, north))
            for right in range(_BLOCK):
                for down in range(_BLOCK):
                    path = f"tiles/{self._id}/{layer['name']}/{zoom}/{column + right}/{row + down}.png"
                    start = time.perf_counter()
                    answer = self.server.request(path)
                    self.seconds.append(time.perf_counter() - start)
                    done += 1
                    if answer.status != 200:
                        failures.append(f"{path}: {answer.status} {answer.body[:300]!r}")


def tile_at(zoom: int, lon: float, lat: float) -> tuple[int, int]:
    """Return column and row of the tile of Web Mercator at a place."""
    x, y = (lon + 180) / 360, (1 - np.arcsinh(np.tan(np.radians(lat))) / np.pi) / 2
    return int(x * 2**zoom), int(y * 2**zoom)


def cpu_seconds(server: AppProcess) -> float:
    """Return the CPU time of a server, which does not depend on other work of the machine."""
    entries = Path(f"/proc/{server.process.pid}/stat").read_text(encoding="ascii").rpartition(") ")[2].split()
    return (int(entries[11]) + int(entries[12])) / os.sysconf("SC_CLK_TCK")


def peak_mb(server: AppProcess) -> int:
    """Return the peak resident memory of a server in MB."""
    status = Path(f"/proc/{server.process.pid}/status").read_text(encoding="ascii")
    line = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
    return round(int(line.split()[1]) * 1024 / 1e6)


def write_map(folder: Path, size: int) -> None:
    """Write the rasters and the summary of a simulated map."""
    folder.mkdir(parents=True)
    relief = periodic_field(np.random.default_rng(0), _PERIOD, _PERIOD, -3.2, 600)
    level, scale = np.quantile(relief, _WATER_SHARE), np.std(relief)
    percent = np.rint(50 * (1 - np.tanh(10 * (relief - level) / scale))).astype(np.uint8)
    repeats = -(-size // _PERIOD)
    percent = np.tile(percent, (repeats, repeats))[:size, :size]
    percent[:, : size // 25] = PERCENT_NODATA
    classes = np.where(percent >= 50, np.uint8(FLOOD), np.uint8(LAND))
    classes[percent == PERCENT_NODATA] = NODATA
    grid = GeoGrid(_CRS, tuple(_TRANSFORM)[:6], size, size)
    kinds = {
        CLASSES: (classes, RasterFormat("class", "mode", NODATA, names=CLASS_NAMES, colours=COLOURS)),
        PROBABILITY: (percent, RasterFormat("probability", "average", PERCENT_NODATA, unit="%")),
    }
    for name, (values, kind) in kinds.items():
        raster = RasterFile(folder / name, grid, kind)
        raster.write(0, values)
        raster.finish({}, threads=2)
    pixels = {"flood": int((classes == FLOOD).sum()), "land": int((classes == LAND).sum())}
    summary: dict[str, Any] = {
        "area_km2": {name: count * 1e-4 for name, count in pixels.items()}, "pixels": pixels, "model": "simulated",
        "valid_share": float((classes != NODATA).mean()), "inputs": {}, "settings": {}, "assumptions": [],
        "grid": {"crs": _CRS, "transform": list(_TRANSFORM)[:6], "height": size, "width": size},
    }  # fmt: skip
    write_text(folder / SUMMARY, json.dumps(summary, indent=2) + "\n")


if __name__ == "__main__":
    run_and_exit(app)
