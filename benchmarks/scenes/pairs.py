"""Differences between maps of one place from different inputs: one or both sensors, Sentinel-2 level 1C or 2A.

    python -m benchmarks.scenes.pairs --pairs FOLDER --model runs/fused-simulated --json FILE

FOLDER holds ``NAME_S1RTC.tif``, ``NAME_S2L1C.tif`` and ``NAME_S2L2A.tif`` of each place, on one grid. A model of both
sensors maps each place from every combination of images, and ``ndwi`` from each optical image. The model has the bands
of both levels (``recipes/fused-simulated.toml``, trained on simulated scenes). The places have no labels, so the maps
are compared with each other and not scored.
"""

from itertools import combinations
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import rasterio
from cyclopts import App, Parameter

import floodseg
from benchmarks.report import report
from floodseg.app.exit_codes import run_and_exit
from floodseg.errors import ConfigError
from floodseg.inference.flood_map import FloodMap

app = App(help="Compare maps of one place from different inputs.")

_MIN_OFFSET_VALUE = 900
"""Stored values from processing baseline 04.00 or later, which adds 1000, are not below this value."""


@app.default
def pairs(
    *,
    pairs: Path,
    model: Path,
    trained_on: str = "simulated scenes",
    json_file: Annotated[Path | None, Parameter(name="--json")] = None,
) -> None:
    """Map every place from every combination of images, and compare the maps in pairs.

    Parameters
    ----------
    pairs
        Folder of the images.
    model
        Run folder or checkpoint of a model of both sensors.
    trained_on
        Training data of the model, for the report.
    json_file
        Write the figures as one JSON object.
    """
    names = sorted(path.name.removesuffix("_S1RTC.tif") for path in pairs.glob("*_S1RTC.tif"))
    if not names:
        raise ConfigError(f"--pairs {pairs}: holds no NAME_S1RTC.tif; name the folder of the pairs")
    loaded = floodseg.load_model(model)
    places = {}
    for name in names:
        sar, l1c, l2a = (pairs / f"{name}_{kind}.tif" for kind in ("S1RTC", "S2L1C", "S2L2A"))
        radar, top, surface = {"sar": sar}, _optical(l1c), _optical(l2a)
        fused = {
            "radar": radar,
            "optical L1C": top,
            "optical L2A": surface,
            "radar and L1C": {**radar, **top},
            "radar and L2A": {**radar, **surface},
        }
        maps = {f"fused model ({trained_on}), {name}": _map(images, loaded) for name, images in fused.items()}
        optical = {"L1C": top, "L2A": surface}
        maps |= {f"ndwi, {level}": _map(images, "ndwi") for level, images in optical.items()}
        places[name] = {
            "maps": {key: _figures(each) for key, each in maps.items()},
            "differences": [
                {"one": one, "other": other, **_difference(maps[one], maps[other])}
                for one, other in combinations(maps, 2)
            ],
        }
    report(
        {
            "fused_model": {"architecture": loaded.spec.architecture, "trained_on": trained_on},
            "places": places,
        },
        json_file,
    )


def _optical(path: Path) -> dict[str, Any]:
    """Return the settings of an optical image; its offset is guessed from its darkest values."""
    with rasterio.open(path) as file:
        darkest = min(float(np.percentile(band, 0.1)) for band in file.read())
    return {"optical": path, "optical_offset": -1000 if darkest >= _MIN_OFFSET_VALUE else 0}


def _map(images: dict[str, Any], model: Any) -> FloodMap:
    return floodseg.predict_scene(**images, model=model, datetime="2020-01-01")


def _figures(flood_map: FloodMap) -> dict[str, Any]:
    return {
        "water_km2": round(flood_map.areas["flood"] or 0, 4),
        "water_share": round(float((flood_map.classes == 1).mean()), 4),
        "mean_probability": round(float(np.nanmean(flood_map.probability)), 4),
        "threshold": flood_map.summary["threshold"],
    }


def _difference(one: FloodMap, other: FloodMap) -> dict[str, float]:
    """Compare two maps in the pixels that are valid in both."""
    valid = (one.classes != 255) & (other.classes != 255)
    gap = np.abs(one.probability - other.probability)[valid]
    wet, other_wet = (one.classes == 1)[valid], (other.classes == 1)[valid]
    union = int((wet | other_wet).sum())
    return {
        "share_of_other_class": round(float((wet != other_wet).mean()), 4),
        "water_iou_of_each_other": round(float((wet & other_wet).sum()) / union, 4) if union else 1.0,
        "mean_difference_of_probability": round(float(gap.mean()), 4),
        "quantile_99_of_it": round(float(np.quantile(gap, 0.99)), 4),
        "water_km2_more": round((one.areas["flood"] or 0) - (other.areas["flood"] or 0), 4),
    }


if __name__ == "__main__":
    run_and_exit(app)
