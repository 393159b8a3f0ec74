"""Scores of the map of a real scene, the mosaic of the Spain chips, and differences between tile sizes.

    python -m benchmarks.scenes.spain_mosaic --data DIR --json FILE --picture docs/pictures/spain.png

A square of 3072 pixels on the grid of the hand-labelled chips of Spain fits 19 of the 24 chips of train and valid; the
rest is nodata. It is written as a GeoTIFF in dB, mapped by ``floodseg.predict_scene``, and ``flood.tif`` is scored
against the labels by global counts: all chips, each split, and the four chips in a square of 1344 pixels (which
``seams.py`` maps). The scores are compared with those of the same model on each single chip, as in ``floodseg
evaluate``, and with those of Otsu's threshold of the scene. The model was trained on the split train: only the scores
of the split valid measure its quality.
"""

import tempfile
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import rasterio
import torch
from cyclopts import App, Parameter
from numpy.typing import NDArray
from PIL import Image

import floodseg
from benchmarks.report import report
from benchmarks.scenes.seams import ChipScene, compare_tiles
from benchmarks.scenes.spain import ACQUIRED, Mosaic, PlacedChip, build_mosaic
from floodseg.app.exit_codes import run_and_exit
from floodseg.config.predict import MapConfig
from floodseg.evaluation.methods import apply_model
from floodseg.evaluation.metrics.counts import ChipScore, count, score_chips
from floodseg.products.strips import FLOOD, NODATA
from floodseg.runtimes.torch_runtime import TorchRuntime
from floodseg.system.files import replacing

app = App(help="Map and score the mosaic of Spain.", default_parameter=Parameter(consume_multiple=True))

_FIELDS = ("n_chips", "n_pixels", "water_iou", "water_iou_ci95", "miou", "f1", "precision", "recall")
_PICTURE_WIDTH = 900
_COLOURS = 128

Scores = dict[str, dict[str, ChipScore]]
"""Score of each chip by its name, for each method."""


@app.default
def spain_mosaic(
    *,
    data: Path,
    model: str = "s1-lite",
    side: int = 3072,
    tiles: tuple[int, ...] = (256, 512, 1024),
    threads: int = 1,
    picture: Path | None = None,
    json_file: Annotated[Path | None, Parameter(name="--json")] = None,
) -> None:
    """Map the mosaic, score the map, and compare maps of several tile sizes.

    Parameters
    ----------
    data
        Official tree of Sen1Floods11.
    model
        Name of a shipped radar model, run folder or checkpoint.
    side
        Height and width of the mosaic in pixels.
    tiles
        Tile sizes in pixels whose maps are compared.
    threads
        Windows mapped in parallel.
    picture
        Write a reduced quicklook of the map to this PNG file.
    json_file
        Write the figures as one JSON object.
    """
    loaded = floodseg.load_model(model)
    mosaic = build_mosaic(data, side)
    chip = mosaic.chip(loaded.spec.bands)
    with tempfile.TemporaryDirectory(prefix="floodseg-spain-") as folder:
        scene = Path(folder) / f"S1_Spain_{ACQUIRED}.tif"
        _write(scene, np.where(chip.sar_valid, chip.sar, np.float32(np.nan)), mosaic)
        maps = {
            name: floodseg.predict_scene(
                sar=scene, model=name, datetime=ACQUIRED, threads=threads, out_dir=Path(folder) / str(index)
            )
            for index, name in enumerate((model, "otsu"))
        }
        if picture is not None:
            _shrink(Path(folder) / "0" / "quicklook.png", picture)
        classes = {name: each.classes for name, each in maps.items()}
    scores = {
        "map": {placed.chip.name: _score(placed, classes[model]) for placed in mosaic.chips},
        "each_chip_alone": {placed.chip.name: apply_model(loaded, placed.chip).score for placed in mosaic.chips},
        "otsu_of_the_scene": {placed.chip.name: _score(placed, classes["otsu"]) for placed in mosaic.chips},
    }
    seams = compare_tiles(ChipScene(chip, loaded.spec.bands), TorchRuntime(loaded), MapConfig(threads=threads), tiles)
    report(
        {
            "model": model, "side": side, "acquired": ACQUIRED,
            "thresholds": {name: each.summary["threshold"] for name, each in maps.items()},
            "valid_share": round(maps[model].summary["valid_share"], 4),
            "area_km2": {name: value and round(value, 3) for name, value in maps[model].areas.items()},
            "scores": _scores_of_groups(scores, mosaic, build_mosaic(data, 1344)),
            "chips": [_row(placed, scores) for placed in mosaic.chips],
            "seams": {"tiles": tiles, **seams},
        },
        json_file,
    )  # fmt: skip


def _scores_of_groups(scores: Scores, mosaic: Mosaic, small: Mosaic) -> dict[str, Any]:
    """Return the scores of each method for groups of chips; ``small`` is the mosaic that ``seams.py`` maps."""
    in_small = {placed.chip.name for placed in small.chips}
    groups = {
        "all": list(mosaic.chips),
        "valid": [placed for placed in mosaic.chips if placed.split == "valid"],
        "train": [placed for placed in mosaic.chips if placed.split == "train"],
        "four_chips_of_seams": [placed for placed in mosaic.chips if placed.chip.name in in_small],
    }
    return {
        group: {method: _figures([each[placed.chip.name] for placed in chips]) for method, each in scores.items()}
        for group, chips in groups.items()
    }


def _row(placed: PlacedChip, scores: Scores) -> dict[str, Any]:
    """Return position and scores of one chip."""
    name = placed.chip.name
    return {
        "name": name, "split": placed.split, "row": placed.row, "column": placed.column,
        "water_share": round(float((placed.chip.label == 1).mean()), 4),
        "water_iou": _rounded(scores["map"][name].counts.water_iou),
        "water_iou_alone": _rounded(scores["each_chip_alone"][name].counts.water_iou),
    }  # fmt: skip


def _write(path: Path, sar: NDArray[np.float32], mosaic: Mosaic) -> None:
    grid = mosaic.grid
    with rasterio.open(
        path, "w", driver="GTiff", height=grid.height, width=grid.width, count=len(sar), dtype="float32", crs=grid.crs,
        transform=rasterio.Affine(*grid.transform), nodata=np.nan, tiled=True, compress="deflate", predictor=3,
    ) as file:  # fmt: skip
        file.write(sar)
        file.descriptions = mosaic.bands.sar


def _score(placed: PlacedChip, classes: NDArray[np.uint8]) -> ChipScore:
    """Return the counts of a chip in a map; nodata and unlabelled pixels do not count."""
    mapped = torch.from_numpy(classes[placed.slices])
    label = torch.from_numpy(placed.chip.label)
    return ChipScore(placed.chip.name, placed.chip.event, count(mapped == FLOOD, label, mapped != NODATA))


def _figures(chips: list[ChipScore]) -> dict[str, Any]:
    scores = score_chips(chips)
    return {name: _rounded(scores[name]) for name in _FIELDS}


def _rounded(value: Any) -> Any:
    if isinstance(value, list):
        return [_rounded(each) for each in value]
    return round(value, 4) if isinstance(value, float) else value


def _shrink(quicklook: Path, picture: Path) -> None:
    """Write the quicklook as a small picture for a page: narrower, with a palette."""
    with Image.open(quicklook) as image:
        height = round(image.height * _PICTURE_WIDTH / image.width)
        small = image.convert("RGB").resize((_PICTURE_WIDTH, height), Image.Resampling.LANCZOS).quantize(_COLOURS)
    with replacing(picture) as temporary:
        small.save(temporary, format="PNG", optimize=True)


if __name__ == "__main__":
    run_and_exit(app)
