"""Error of the water level by floodseg and by published methods, on floods with a known level.

    python -m benchmarks.analysis.depth --json benchmarks/results/depth.json

All methods get the same maps and heights. Noisy cases are averaged over the seeds. The settings of floodseg are its
defaults in all cases.
"""

import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from cyclopts import App, Parameter
from numpy.typing import NDArray

from benchmarks.analysis.rivals import fwdet, inverse_distance, median_and_laplace
from benchmarks.report import report
from floodseg.analysis.depth.estimate import EstimateSettings, Progress, estimate_surface
from floodseg.analysis.depth.ground import FloodedGround
from floodseg.analysis.depth.surface import CellLevels
from floodseg.app.exit_codes import run_and_exit
from floodseg.config.depth import DepthOptions
from floodseg.geo.footprints import measure_pixel_areas
from floodseg.geo.grid import Window
from floodseg.products.strips import FLOOD, LAND, NODATA
from floodseg.simulate.known_floods import GRID, KnownFlood, known_floods
from floodseg.system.progress import ProgressBar

app = App(help="Error of the water level on floods with a known level.")

_RIVALS: dict[str, Callable[[KnownFlood], NDArray[np.float64]]] = {
    "fwdet": fwdet,
    "inverse_distance": inverse_distance,
    "median_and_laplace": median_and_laplace,
}


@app.default
def depth(
    *,
    seeds: tuple[int, ...] = (100, 101, 102, 103, 104),
    json_file: Annotated[Path | None, Parameter(name="--json")] = None,
) -> None:
    """Measure all methods on all cases.

    Parameters
    ----------
    seeds
        Seeds of the errors of the noisy cases.
    json_file
        Write the figures to this JSON file.
    """
    rows: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    seconds: dict[str, float] = defaultdict(float)
    for number, seed in enumerate(seeds):
        for case in known_floods(seed):
            if number == 0 or case.is_noisy:
                for name, value in _measure(case, seconds).items():
                    rows[case.name][name].append(value)
    means = {case: {name: round(float(np.mean(each)), 4) for name, each in row.items()} for case, row in rows.items()}
    figures: dict[str, Any] = {
        "seeds": seeds,
        "rmse_of_the_level_m_and_coverage_of_the_90_percent_intervals": means,
        "cpu_seconds_of_all_cases": {name: round(value, 1) for name, value in seconds.items()},
    }
    report(figures, json_file)


def estimate(case: KnownFlood, threads: int = 1) -> CellLevels:
    """Return the levels by floodseg of the flooded cells of a case, in raster order."""
    classes = np.where(case.unseen, NODATA, np.where(case.flood, FLOOD, LAND)).astype(np.uint8)
    heights = case.dem.astype(np.float32)

    def part(values: NDArray[Any]) -> Callable[[Window], NDArray[Any]]:
        return lambda at: values[at.top : at.top + at.height, at.left : at.left + at.width]

    options, areas = DepthOptions(), measure_pixel_areas(GRID)
    assert areas is not None, "the grid is on the Earth"
    settings = EstimateSettings(options.min_shore_samples, options.min_island, write_level=True, threads=threads)
    ground = FloodedGround(GRID, part(classes), part(heights))
    _, surface = estimate_surface(ground, areas, settings, Progress(ProgressBar(3, enabled=False), GRID))
    row, column = np.nonzero(case.flood)
    return surface.at(np.zeros(len(row), np.int32), row, column)


def _measure(case: KnownFlood, seconds: dict[str, float]) -> dict[str, float]:
    """Return the errors of all methods on one case, and the coverage of floodseg's intervals."""
    true, started = case.level[case.flood], time.process_time()
    found = estimate(case)
    seconds["floodseg"] += time.process_time() - started
    error = found.level - true
    heights = (case.dem - case.terrain)[case.flood]
    figures = {
        "floodseg": _rmse(error),
        "level_coverage": float(np.mean(np.abs(error) <= found.level_half_width)),
        "depth_coverage": float(np.mean(np.abs(error - heights) <= found.depth_half_width)),
    }
    for name, method in _RIVALS.items():
        started = time.process_time()
        figures[name] = _rmse(method(case)[case.flood] - true)
        seconds[name] += time.process_time() - started
    return figures


def _rmse(error: NDArray[np.float64]) -> float:
    return float(np.sqrt(np.mean(np.square(error))))


if __name__ == "__main__":
    run_and_exit(app)
