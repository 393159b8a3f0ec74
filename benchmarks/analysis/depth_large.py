"""Time and memory of ``floodseg depth`` on a large simulated map.

    python -m benchmarks.analysis.depth_large WORK --json benchmarks/results/depth-large.json

The terrain is a sloping plain with relief at many scales, of which the lower fifth is flooded, a strip is not observed
and a river is permanent water. The elevation model is the terrain at 1 arc second in degrees, so heights are
interpolated from another coordinate system. Another process writes the files, so that memory is that of
``floodseg.flood_depth`` alone.
"""

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Annotated

import numpy as np
import rasterio
from affine import Affine
from cyclopts import App, Parameter
from numpy.typing import NDArray
from rasterio.warp import Resampling, calculate_default_transform, reproject

from benchmarks.report import report
from floodseg.app.exit_codes import run_and_exit
from floodseg.benchmarking.process_memory import PeakMemory, peak_resident_mb
from floodseg.products.strips import FLOOD, LAND, NODATA, PERMANENT_WATER
from floodseg.simulate.random_fields import periodic_field

app = App(help="Time and memory of water depth on a large map.")

_CELL = 10.0
_CRS = "EPSG:32632"
_ORIGIN = (600_000.0, 5_200_000.0)
_ARC_SECOND = 1 / 3600
_PERIOD = 2500
"""Rows and columns after which the relief is repeated."""
_SLOPE = 1e-4
"""Fall of plain and water level from north to south."""


@app.default
def depth_large(
    work: Path,
    *,
    size: int = 10_000,
    threads: int = 2,
    json_file: Annotated[Path | None, Parameter(name="--json")] = None,
) -> None:
    """Measure one run.

    Parameters
    ----------
    work
        Folder for the files.
    size
        Rows and columns of the map.
    threads
        Threads of the run.
    json_file
        Write the figures to this JSON file.
    """
    subprocess.run([sys.executable, "-m", "benchmarks.analysis.depth_large", "write", str(work), str(size)], check=True)
    import floodseg

    load = os.getloadavg()[0]
    start, cpu = time.monotonic(), time.process_time()
    with PeakMemory() as memory:
        result = floodseg.flood_depth(
            work / "flood.tif", work / "dem.tif", out_dir=work / "depth", overwrite=True, threads=threads
        )
    summary = result.summary
    figures = {
        "size": size,
        "threads": threads,
        "load_before": round(load, 1),
        "seconds": round(time.monotonic() - start, 1),
        "cpu_seconds": round(time.process_time() - cpu, 1),
        "peak_pss_mb": round(memory.mb),
        "peak_resident_mb": round(peak_resident_mb()),
        "flooded_share": summary["cells"]["flood"] / size**2,
        "floods": summary["floods"]["count"],
        "floods_with_depth": summary["floods"]["with_depth"],
        "shore_samples": sum(each["shore_samples"] for each in summary["floods"]["largest"]),
    }
    report(figures, json_file)


@app.command
def write(work: Path, size: int) -> None:
    """Write the map and the elevation model."""
    work.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    relief = periodic_field(rng, _PERIOD, _PERIOD, -3.2, 600)
    repeats = -(-size // _PERIOD)
    relief = np.tile(relief, (repeats, repeats))[:size, :size]
    level = np.quantile(relief, 0.2)
    classes = np.where(relief < level, np.uint8(FLOOD), np.uint8(LAND))
    classes[:, size // 2 : size // 2 + 12] = PERMANENT_WATER
    classes[:, : size // 25] = NODATA
    terrain = relief - _SLOPE * _CELL * np.arange(size, dtype=np.float32)[:, None]
    transform = Affine(_CELL, 0, _ORIGIN[0], 0, -_CELL, _ORIGIN[1])
    _write(work / "flood.tif", classes, _CRS, transform, NODATA)
    degrees, width, height = calculate_default_transform(
        _CRS, "EPSG:4326", size, size, left=_ORIGIN[0], right=_ORIGIN[0] + _CELL * size,
        top=_ORIGIN[1], bottom=_ORIGIN[1] - _CELL * size, resolution=_ARC_SECOND,
    )  # fmt: skip
    heights = np.full((height, width), -9999, np.float32)
    reproject(
        terrain, heights, src_transform=transform, src_crs=_CRS, dst_transform=degrees, dst_crs="EPSG:4326",
        dst_nodata=-9999, resampling=Resampling.average, num_threads=2,
    )  # fmt: skip
    _write(work / "dem.tif", heights, "EPSG:4326", degrees, -9999)


def _write(path: Path, values: NDArray[np.generic], crs: str, transform: Affine, nodata: float) -> None:
    height, width = values.shape
    with rasterio.open(
        path, "w", driver="GTiff", count=1, height=height, width=width, dtype=values.dtype, crs=crs,
        transform=transform, nodata=nodata, tiled=True, compress="deflate", zlevel=1, num_threads="all_cpus",
    ) as file:  # fmt: skip
        file.write(values, 1)


if __name__ == "__main__":
    run_and_exit(app)
