"""Series of maps: time and memory of the command, and false flood with monthly reference water.

    python -m benchmarks.analysis.series speed --folder DIR --json benchmarks/results/series-speed.json
    python -m benchmarks.analysis.series reference --json benchmarks/results/series-reference.json

``speed`` simulates maps of floods in DIR (0.3 GB with the default sizes; the rasters of the series need another 3.5 GB
there while the command runs), reads all of them with rasterio alone, runs ``floodseg series`` in a process of its own,
and removes both. Maps have cloud-optimized blocks of 512 x 512 pixels, as those of ``floodseg predict``.

``reference`` maps the floods of a simulated third year with two kinds of permanent water: the monthly reference water
of the two years before, and the water of one single earlier map, as ``floodseg predict --sar-before`` takes it.
"""

import resource
import shutil
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import rasterio
from affine import Affine
from cyclopts import App, Parameter
from numpy.typing import NDArray
from rasterio.windows import Window as RasterWindow
from scipy.ndimage import zoom

from benchmarks.report import report
from floodseg.analysis.series.run import flood_series
from floodseg.app.exit_codes import run_and_exit
from floodseg.geo.tiling import blocks
from floodseg.simulate.random_fields import power_law_field
from floodseg.simulate.seasons import Flood, Seasons

app = App(help="Series of maps: speed and reference water.")
JsonFile = Annotated[Path | None, Parameter(name="--json")]

_BEGIN = datetime(2020, 1, 3, 5, 27, 3, tzinfo=UTC)
_REVISIT = timedelta(days=12)
_LAGS = (1, 2, 3, 4, 5)
"""Earlier maps, in revisits before the map of the flood."""
_FALSE_WATER = 1 / 256
_TRANSFORM = Affine(10, 0, 5e5, 0, -10, 5e6)


@app.command
def speed(*, folder: Path, size: int = 10_000, dates: int = 60, json_file: JsonFile = None) -> None:
    """Measure time and memory of the command on simulated maps of ``size`` x ``size`` pixels."""
    maps, products = folder / "maps", folder / "series"
    maps.mkdir(parents=True)
    try:
        _write_maps(maps, size, dates)
        stored = sum(path.stat().st_size for path in maps.iterdir())
        reading = _seconds_of_reading(maps, size)
        began = time.perf_counter()
        command = [sys.executable, "-m", "floodseg", "series", str(maps), "--out-dir", str(products)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        seconds = time.perf_counter() - began
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        figures = {
            "size": size, "dates": dates, "mb_of_maps": stored / 1e6,
            "seconds_reading_alone": reading, "seconds": seconds, "seconds_beyond_reading": seconds - reading,
            "cpu_seconds": used.ru_utime + used.ru_stime, "peak_mb": used.ru_maxrss / 1000,
            "products": len(list(products.glob("*.tif"))),
            "mb_of_products": sum(path.stat().st_size for path in products.iterdir()) / 1e6,
        }  # fmt: skip
    finally:
        shutil.rmtree(maps)
        shutil.rmtree(products, ignore_errors=True)
    report(figures, json_file)


def _write_maps(folder: Path, size: int, dates: int) -> None:
    """Write maps of a plain with a season, two floods, errors at single pixels, and swaths that end in the area."""
    rng = np.random.default_rng(0)
    side = -(-size // 8)
    coarse = power_law_field(rng, side, side, -3.5)
    terrain = zoom(coarse, 8, order=1)[:size, :size].astype(np.float16)
    levels = np.quantile(coarse, np.linspace(0, 1, 101))
    profile = {
        "driver": "GTiff", "height": size, "width": size, "count": 1, "dtype": "uint8", "crs": "EPSG:32632",
        "transform": _TRANSFORM, "nodata": 255, "tiled": True,
        "blockxsize": 512, "blockysize": 512, "compress": "deflate",
    }  # fmt: skip
    for number in range(dates):
        day = _BEGIN + number * _REVISIT
        share = 9 + 6 * np.cos(2 * np.pi * (day.timetuple().tm_yday - 45) / 365) + 12 * (number % 30 in (17, 18, 19))
        level = levels[int(share)]
        with rasterio.open(folder / f"map_{day:%Y%m%dT%H%M%S}.tif", "w", **profile) as target:
            for block in blocks(size, size, 2048):
                part = (slice(block.top, block.top + block.height), slice(block.left, block.left + block.width))
                codes = (terrain[part] < level).astype(np.uint8)
                codes ^= rng.integers(0, 256, codes.shape, np.uint8) < 256 * _FALSE_WATER
                columns = np.arange(block.left, block.left + block.width)
                codes[:, columns < (number % 4) * size // 40] = 255
                target.write(codes, 1, window=RasterWindow(block.left, block.top, block.width, block.height))


def _seconds_of_reading(folder: Path, size: int) -> float:
    """Return the time of reading all maps once, in strips of 512 rows."""
    began = time.perf_counter()
    for top in range(0, size, 512):
        for path in sorted(folder.iterdir()):
            with rasterio.open(path) as source:
                source.read(1, window=RasterWindow(0, top, size, min(512, size - top)))
    return time.perf_counter() - began


@app.command
def reference(*, size: int = 400, seeds: int = 5, json_file: JsonFile = None) -> None:
    """Compare false flood with monthly reference water and with one single earlier map."""
    runs = [false_flood(size, seed) for seed in range(seeds)]
    report({"size": size, "seeds": seeds, "runs": runs, "mean": _mean(runs)}, json_file)


def false_flood(size: int, seed: int) -> dict[str, Any]:
    """Return the false flood of a year in percent of the area, and the share of the true flood that is found.

    The reference water is that of ``floodseg series`` on the maps of the two years before.
    """
    floods = (
        Flood(datetime(2022, 4, 20, tzinfo=UTC), datetime(2022, 5, 15, tzinfo=UTC), 0.25),
        Flood(datetime(2022, 11, 1, tzinfo=UTC), datetime(2022, 11, 20, tzinfo=UTC), 0.22),
    )
    seasons = Seasons(size, seed, floods)
    times = [_BEGIN + number * _REVISIT for number in range(92)]
    maps = {each: seasons.classes(each) for each in times}
    before = [each for each in times if each.year < 2022]
    year = [each for each in times if each.year == 2022]
    months = _reference_water({each: maps[each] for each in before})
    driest = min((each for each in before if each.year == 2021), key=lambda each: int(maps[each].sum()))
    references = {"monthly_reference": {each: months[each.month] for each in year}}
    references |= {
        f"map_{lag * _REVISIT.days}_days_before": {each: maps[each - lag * _REVISIT] == 1 for each in year}
        for lag in _LAGS
    }
    references["driest_map_of_the_year_before"] = dict.fromkeys(year, maps[driest] == 1)
    scores = {name: _score(seasons, maps, known) for name, known in references.items()}
    single = [
        _score(seasons, maps, dict.fromkeys(year, maps[each] == 1))["false_flood_percent"]
        for each in before
        if each.year == 2021
    ]
    scores["any_one_map_of_the_year_before"] = {"false_flood_percent": float(np.mean(single))}
    land = np.mean([((maps[each] == 1) & ~seasons.water(each)).mean() for each in year])
    scores["land_taken_for_water"] = {"false_flood_percent": 100 * float(land)}
    least = scores["monthly_reference"]["false_flood_percent"]
    for name, score in scores.items():
        if name not in ("monthly_reference", "land_taken_for_water"):
            score["reduction_percent"] = 100 * (1 - least / score["false_flood_percent"])
    return scores


def _reference_water(maps: dict[datetime, NDArray[np.uint8]]) -> dict[int, NDArray[np.bool_]]:
    """Return the reference water of each month, from files written by ``floodseg.flood_series``."""
    with tempfile.TemporaryDirectory() as folder:
        paths = []
        for each, codes in maps.items():
            paths.append(Path(folder) / f"map_{each:%Y%m%dT%H%M%S}.tif")
            height, width = codes.shape
            with rasterio.open(
                paths[-1], "w", driver="GTiff", height=height, width=width, count=1, dtype="uint8", nodata=255,
                crs="EPSG:32632", transform=_TRANSFORM,
            ) as target:  # fmt: skip
                target.write(codes, 1)
        series = flood_series(paths, out_dir=Path(folder) / "series")
        found = {}
        for month in range(1, 13):
            with rasterio.open(series.out_dir / f"reference_water_{month:02d}.tif") as source:
                found[month] = source.read(1) == 1
    return found


def _score(
    seasons: Seasons, maps: dict[datetime, NDArray[np.uint8]], known: dict[datetime, NDArray[np.bool_]]
) -> dict[str, float]:
    """Return false flood in percent of the area and the found share of the true flood, over the dates of ``known``."""
    false = found = true = pixels = 0
    for each, permanent in known.items():
        flood = (maps[each] == 1) & ~permanent
        truth = seasons.water(each) & ~seasons.seasonal_water(each)
        false += int((flood & ~truth).sum())
        found += int((flood & truth).sum())
        true += int(truth.sum())
        pixels += truth.size
    return {"false_flood_percent": 100 * false / pixels, "found_flood_percent": 100 * found / true}


def _mean(runs: list[dict[str, Any]]) -> dict[str, Any]:
    return {name: {key: float(np.mean([run[name][key] for run in runs])) for key in runs[0][name]} for name in runs[0]}


if __name__ == "__main__":
    run_and_exit(lambda: app())
