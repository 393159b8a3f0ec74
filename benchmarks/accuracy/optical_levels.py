"""Agreement of an optical model with itself on level 1C and 2A, and on pixels of 10, 20 and 30 m, beside NDWI > 0.

    python -m benchmarks.accuracy.optical_levels --pairs PAIRS --model s2 --json FILE

PAIRS holds files PLACE_S2L1C.tif and PLACE_S2L2A.tif of one place on one grid, as reflectance times 10000.
"""

from pathlib import Path
from typing import Annotated, Any

import numpy as np
import rasterio
import torch
import torch.nn.functional as F
from cyclopts import App, Parameter
from torch import Tensor

from benchmarks.accuracy.optical_domains import BANDS, OFFSET
from benchmarks.report import report
from floodseg.app.exit_codes import run_and_exit
from floodseg.models.checkpoint.zoo import load_model
from floodseg.models.model import FloodModel

app = App(help="Agreement of an optical model between levels and pixel sizes.")
HOLDS_OFFSET = ("282D*L1C", "433D*L1C", "609U*L1C", "433D*L2A")
"""Patterns of the files whose numbers hold the +1000 of processing baseline 04.00."""


@app.default
def levels(
    *, pairs: Path, model: str = "s2", json_file: Annotated[Path | None, Parameter(name="--json")] = None
) -> None:
    """Compare maps; print one JSON object.

    Parameters
    ----------
    pairs
        Folder of the images.
    model
        Name of a shipped optical model, run folder or checkpoint.
    json_file
        Write the results as one JSON object.
    """
    network = load_model(model)
    places = {path.name.split("_")[0]: path for path in sorted(pairs.glob("*_S2L1C.tif"))}
    results: dict[str, Any] = {}
    for place, path in places.items():
        l1c, l2a = _read(path), _read(path.with_name(path.name.replace("L1C", "L2A")))
        results[place] = {}
        for name, water in (("model", lambda image: _model_water(network, image)), ("ndwi", _ndwi_water)):
            maps = {"L1C": water(l1c), "L2A": water(l2a)}
            results[place][name] = {
                "water_share": {level: round(float(each.float().mean()), 4) for level, each in maps.items()},
                "levels_agree": _agreement(maps["L1C"], maps["L2A"]),
                **{
                    f"10_and_{10 * factor}_m_agree": _agreement(
                        _coarse(maps["L2A"].float(), factor) >= 0.5, water(_coarse(l2a, factor))
                    )
                    for factor in (2, 3)
                },
            }
    print("\n".join(f"{place} {name}: {values}" for place, both in results.items() for name, values in both.items()))
    report({"model": model, "places": results}, json_file)


def _read(path: Path) -> Tensor:
    """Return reflectance (1, 6, H, W)."""
    with rasterio.open(path) as source:
        stored = source.read([source.descriptions.index(band) + 1 for band in BANDS]).astype(np.float32)
    holds_offset = any(path.match(f"{pattern}*") for pattern in HOLDS_OFFSET)
    return torch.from_numpy((stored - (OFFSET if holds_offset else 0)) / 10_000)[None]


def _coarse(image: Tensor, factor: int) -> Tensor:
    """Return means of ``factor`` x ``factor`` pixels; rows and columns that are left over are cut off."""
    four_axes = image if image.ndim == 4 else image[None, None]
    mean = F.avg_pool2d(four_axes, factor)
    return mean if image.ndim == 4 else mean[0, 0]


def _model_water(network: FloodModel, image: Tensor) -> Tensor:
    """Return the map (H, W) of a model, True for water."""
    nothing, valid = (torch.full((1, 1, *image.shape[-2:]), value, dtype=torch.bool) for value in (False, True))
    with torch.inference_mode():
        probability = network.decisions.probability(network(optical=image), nothing, valid)
        return network.decisions.water(probability, nothing, valid)[0]


def _ndwi_water(image: Tensor) -> Tensor:
    return image[0, 1] > image[0, 3]


def _agreement(one: Tensor, other: Tensor) -> float:
    return round(float((one == other).float().mean()), 4)


if __name__ == "__main__":
    run_and_exit(app)
