"""Depth of the demo scene, beside the depth that was simulated.

::

    python -m benchmarks.analysis.depth_demo WORK --json benchmarks/results/depth-demo.json
"""

from pathlib import Path
from typing import Annotated, Any

import numpy as np
import rasterio
from cyclopts import App, Parameter
from numpy.typing import NDArray

import floodseg
from benchmarks.report import report
from floodseg.app.demo import run_demo
from floodseg.app.exit_codes import run_and_exit
from floodseg.simulate.demo_terrain import simulate_valley

app = App(help="Depth of the demo scene, beside the depth that was simulated.")

_SHAPE = (1200, 1500)


@app.default
def depth_demo(work: Path, *, json_file: Annotated[Path | None, Parameter(name="--json")] = None) -> None:
    """Map the demo scene, and compute the depth with and without the shores of small islands.

    Parameters
    ----------
    work
        Folder for the scene and the products.
    json_file
        Write the figures to this JSON file.
    """
    run_demo(work, overwrite=True)
    land, *_ = (np.random.default_rng(child) for child in np.random.SeedSequence(0).spawn(4))
    terrain, ground = simulate_valley(land, *_SHAPE)
    level = float(terrain.height[terrain.permanent][0])
    rows = {}
    for name, min_island in (("default", 100_000.0), ("all islands", 0.0)):
        found = floodseg.flood_depth(
            work / "flood/flood.tif", work / "scene/dem.tif", out_dir=work / "depth", overwrite=True,
            dem_kind="terrain", water_level=True, min_island=min_island,
        )  # fmt: skip
        rows[name] = _compare(work, found, np.maximum(level - ground, 0), level)
    report({"rows": rows}, json_file)


def _compare(work: Path, found: Any, true_depth: NDArray[np.float64], level: float) -> dict[str, float]:
    """Return errors over the mapped flood in metres."""
    with rasterio.open(work / "scene/truth.tif") as whole, rasterio.open(work / "depth/water_level.tif") as part:
        column, row = (round(each) for each in ~whole.transform @ (part.transform.c, part.transform.f))
        levels = part.read(1)
    mapped = np.isfinite(found.uncertainty)
    true = true_depth[row : row + mapped.shape[0], column : column + mapped.shape[1]][mapped]
    error = found.depth[mapped] - true
    of_level = levels[mapped] - level
    return {
        "rmse_of_the_level_m": round(float(np.sqrt(np.mean(np.square(of_level)))), 3),
        "median_error_of_the_level_m": round(float(np.median(of_level)), 3),
        "rmse_of_the_depth_m": round(float(np.sqrt(np.mean(np.square(error)))), 3),
        "mean_depth_m": round(float(found.depth[mapped].mean()), 3),
        "true_mean_depth_m": round(float(true.mean()), 3),
        "depth_coverage": round(float(np.mean(np.abs(error) <= found.uncertainty[mapped])), 3),
    }


if __name__ == "__main__":
    run_and_exit(app)
