"""Seconds and memory of ``floodseg exposure`` on a simulated map with many buildings.

    python -m benchmarks.analysis.exposure --json FILE

The map has pixels of 10 m in UTM, and its flood is a random field with ragged borders. The footprints are rotated
rectangles in EPSG:4326 at random places, in no order. The population grid is in Mollweide with cells of 100 m, the land
cover in degrees with pixels of about 10 m. Each combination of layers runs in a process of its own on two cores. Its
CPU seconds hardly depend on what else the machine does, its wall seconds do: the load is in the result.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pyogrio.raw
import rasterio
import shapely
from cyclopts import App, Parameter
from rasterio.transform import from_origin
from rasterio.warp import transform, transform_bounds

from benchmarks.report import report
from floodseg.app.exit_codes import run_and_exit
from floodseg.simulate.random_fields import power_law_field

app = App(help="Seconds and memory of floodseg exposure.")
_CRS, _WEST, _NORTH, _PIXEL = "EPSG:32633", 450_000.0, 5_100_000.0, 10.0
_TABLES = {
    "buildings": ("buildings",),
    "buildings and depth": ("buildings", "depth"),
    "all": ("population", "buildings", "roads", "landcover", "regions", "depth"),
}
"""Layers of each run."""
_FILES = {
    "population": "tif", "buildings": "gpkg", "roads": "gpkg", "landcover": "tif", "regions": "gpkg", "depth": "tif",
}  # fmt: skip
"""Formats of the layers."""
_COMPLETE = "complete"
"""File that marks a folder with all layers."""


@app.default
def exposure(
    *,
    size: int = 10_000,
    buildings: int = 1_000_000,
    runs: tuple[str, ...] = tuple(_TABLES),
    folder: Path | None = None,
    json_file: Annotated[Path | None, Parameter(name="--json")] = None,
) -> None:
    """Simulate a map and layers, run the command, and print the figures as one JSON object.

    Parameters
    ----------
    size
        Rows and columns of the map.
    buildings
        Number of footprints.
    runs
        Runs to make: buildings, "buildings and depth", all.
    folder
        Folder of the map and the layers; those of an earlier run are used again. By default a temporary folder.
    json_file
        Write the figures as one JSON object.
    """
    with tempfile.TemporaryDirectory(prefix="floodseg-exposure-") as temporary:
        place = Path(temporary) if folder is None else folder
        files = {name: str(place / f"{name}.{ending}") for name, ending in _FILES.items()}
        if not (place / _COMPLETE).exists():
            place.mkdir(parents=True, exist_ok=True)
            simulate(place, files, size, buildings)
        result: dict[str, Any] = {"size": size, "buildings": buildings, "runs": {}}
        for name in runs:
            result["runs"][name] = measure(place, files, _TABLES[name])
            report(result, json_file)  # after each run, since the last ones take long


def measure(place: Path, layers: dict[str, str], chosen: tuple[str, ...]) -> dict[str, Any]:
    """Run the command with the chosen layers on two cores, and return seconds, memory, load and affected quantities."""
    flags = [text for name in chosen for text in (f"--{name}", layers[name])]
    out = place / "out"
    command = [sys.executable, "-m", "floodseg", "exposure", str(place / "flood.tif"), *flags, "--out-dir", str(out)]
    command += ["--overwrite"]
    cores = sorted(os.sched_getaffinity(0))[:2]
    load = os.getloadavg()[0]
    began = time.perf_counter()
    process = subprocess.Popen(command, preexec_fn=lambda: os.sched_setaffinity(0, cores), stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - began
    if status:
        raise SystemExit(f"floodseg exposure ended with status {status}")
    document = json.loads((out / "exposure.json").read_text(encoding="utf-8"))
    return {
        "seconds": round(seconds, 1),
        "cpu_seconds": round(usage.ru_utime + usage.ru_stime, 1),
        "peak_mb": round(usage.ru_maxrss / 1024),
        "cores": len(cores),
        "load_before": round(load, 2),
        "load_after": round(os.getloadavg()[0], 2),
        "affected": {
            entry["item"]: [entry["affected"], entry["total_in_area"]]
            for entry in document["consequences"]
            if ":" not in entry["item"]
        },
    }


def simulate(place: Path, files: dict[str, str], size: int, buildings: int) -> None:
    """Write the map into a folder, and all layers to their files."""
    rng = np.random.default_rng(0)
    side = size * _PIXEL
    box = (_WEST, _NORTH - side, _WEST + side, _NORTH)
    _write_map(place / "flood.tif", Path(files["depth"]), rng, size)
    _write_buildings(files["buildings"], rng, box, buildings)
    _write_roads(files["roads"], rng, box, size)
    _write_regions(files["regions"], box)
    _write_grid(files["population"], rng, box, "ESRI:54009", 100.0)
    _write_grid(files["landcover"], rng, box, "EPSG:4326", 1 / 12_000)
    (place / _COMPLETE).touch()


def _write_map(flood: Path, depth: Path, rng: np.random.Generator, size: int) -> None:
    field = power_law_field(rng, size // 2, size // 2, -3.0, outer_scale=500.0).repeat(2, 0).repeat(2, 1)
    classes = np.zeros(field.shape, np.uint8)
    classes[field > 0.8] = 1
    classes[field > 2.0] = 2
    classes[np.roll(field, size // 3, 0) > 2.2] = 3
    metres = np.where(classes == 1, 2 * (field - 0.8), np.nan).astype(np.float32)
    profile = {
        "driver": "GTiff", "height": len(field), "width": len(field), "count": 1, "crs": _CRS, "tiled": True,
        "transform": from_origin(_WEST, _NORTH, _PIXEL, _PIXEL), "blockxsize": 512, "blockysize": 512,
        "compress": "deflate",
    }  # fmt: skip
    with rasterio.open(flood, "w", dtype="uint8", nodata=255, **profile) as file:
        file.update_tags(TIFFTAG_DATETIME="2024:01:02 03:04:05")
        file.write(classes, 1)
    with rasterio.open(depth, "w", dtype="float32", nodata=np.nan, **profile) as file:
        file.write(metres, 1)


def _write_buildings(path: str, rng: np.random.Generator, box: tuple[float, ...], count: int) -> None:
    middle = rng.uniform(box[:2], box[2:], (count, 1, 2))
    half, angle = rng.uniform(4, 12, (count, 1, 2)), rng.uniform(0, np.pi, count)
    corners = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1), (-1, -1)]) * half
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]]).transpose(2, 0, 1)
    x, y = transform(_CRS, "EPSG:4326", *(corners @ turn + middle).reshape(-1, 2).T)
    points, owners = np.column_stack([x, y]), np.arange(count).repeat(5)
    shapes = shapely.polygons(shapely.linearrings(points, indices=owners))
    pyogrio.raw.write(path, shapely.to_wkb(shapes), [], [], driver="GPKG", geometry_type="Polygon", crs="EPSG:4326")


def _write_roads(path: str, rng: np.random.Generator, box: tuple[float, ...], size: int) -> None:
    start = rng.uniform(box[:2], box[2:], (10 * size, 1, 2))
    points = start + np.cumsum(rng.normal(0, 60, (10 * size, 8, 2)), axis=1)
    lines = shapely.linestrings(points)
    names = rng.choice(np.array(["primary", "residential", "track"], dtype=object), len(lines))
    pyogrio.raw.write(path, shapely.to_wkb(lines), [names], ["highway"], driver="GPKG", geometry_type="LineString",
                      crs=_CRS)  # fmt: skip


def _write_regions(path: str, box: tuple[float, ...]) -> None:
    columns, rows = (np.linspace(low, high, 6) for low, high in zip(box[:2], box[2:], strict=True))
    west, south = (edge.ravel() for edge in np.meshgrid(columns[:-1], rows[:-1]))
    shapes = shapely.box(west, south, west + columns[1] - columns[0], south + rows[1] - rows[0])
    names = np.array([f"district {number}" for number in range(len(shapes))], dtype=object)
    pyogrio.raw.write(path, shapely.to_wkb(shapes), [names], ["name"], driver="GPKG", geometry_type="Polygon", crs=_CRS)


def _write_grid(path: str, rng: np.random.Generator, box: tuple[float, ...], crs: str, pixel: float) -> None:
    west, south, east, north = transform_bounds(_CRS, crs, *box)
    height, width = int((north - south) / pixel) + 3, int((east - west) / pixel) + 3
    profile = {"driver": "GTiff", "height": height, "width": width, "count": 1, "crs": crs, "tiled": True,
               "transform": from_origin(west - pixel, north + pixel, pixel, pixel), "compress": "deflate"}  # fmt: skip
    if crs == "EPSG:4326":
        coarse = rng.choice(np.array([10, 30, 40, 50, 80], np.uint8), (height // 30 + 1, width // 30 + 1))
        values = coarse.repeat(30, 0).repeat(30, 1)[:height, :width]
        with rasterio.open(path, "w", dtype="uint8", nodata=0, **profile) as file:
            file.write(values, 1)
        return
    with rasterio.open(path, "w", dtype="float64", nodata=-200, **profile) as file:
        file.write(rng.gamma(0.3, 10, (height, width)), 1)


if __name__ == "__main__":
    run_and_exit(app)
