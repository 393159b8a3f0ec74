"""How good a whole map of a real scene is, and whether its windows show: the chips of Spain as one GeoTIFF.

    python -m benchmarks.scenes.spain_mosaic --data DIR --json FILE --picture docs/pictures/spain.png

A square of 3072 pixels on the grid of the hand-labelled chips of Spain holds 19 of the 24 that belong to training and
validation; the rest of it is nodata. It is written as a GeoTIFF in dB, mapped by ``floodseg.predict_scene``, and
``flood.tif`` is scored against the labels by global counts: all chips, each split alone, and the four chips that a
square of 1344 pixels holds (which ``seams.py`` maps). Beside the map stands the same model on each chip alone, as
``floodseg evaluate`` takes them, and Otsu's threshold of the scene. The model was trained on the chips of the split
train: only the score of the split valid says how good it is.
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
from benchmarks.scenes.spain import ACQUIRED, Mosaic, PlacedChip, spain
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
    """Map the mosaic, score the map, and compare maps made with several tile sizes.

    Parameters
    ----------
    data
        The official tree of Sen1Floods11.
    model
        A shipped model of radar alone, a run folder or a checkpoint.
    side
        Pixels a side of the mosaic.
    tiles
        Tile sizes in pixels whose maps are compared.
    threads
        Windows mapped at a time.
    picture
        Write the quicklook of the map there, reduced.
    json_file
        Write the figures as one JSON object.
    """
    learned = floodseg.load_model(model)
    mosaic = spain(data, side)
    whole = mosaic.chip(learned.spec.bands)
    with tempfile.TemporaryDirectory(prefix="floodseg-spain-") as folder:
        scene = Path(folder) / f"S1_Spain_{ACQUIRED}.tif"
        _write(scene, np.where(whole.sar_valid, whole.sar, np.float32(np.nan)), mosaic)
        mapped = {
            name: floodseg.predict_scene(
                sar=scene, model=name, datetime=ACQUIRED, threads=threads, out_dir=Path(folder) / str(index)
            )
            for index, name in enumerate((model, "otsu"))
        }
        if picture is not None:
            _shrink(Path(folder) / "0" / "quicklook.png", picture)
        maps = {name: each.classes for name, each in mapped.items()}
    alone = {chip.chip.name: apply_model(learned, chip.chip).score for chip in mosaic.chips}
    small = {chip.chip.name for chip in spain(data, 1344).chips}
    in_map, otsu = ({chip.chip.name: _score(chip, each) for chip in mosaic.chips} for each in maps.values())
    groups = {
        "all": lambda chip: True,
        "valid": lambda chip: chip.split == "valid",
        "train": lambda chip: chip.split == "train",
        "four_chips_of_seams": lambda chip: chip.chip.name in small,
    }
    scores = {
        group: {
            way: _figures([each[chip.chip.name] for chip in mosaic.chips if belongs(chip)])
            for way, each in (("map", in_map), ("each_chip_alone", alone), ("otsu_of_the_scene", otsu))
        }
        for group, belongs in groups.items()
    }
    chips = [
        {
            "name": chip.chip.name, "split": chip.split, "row": chip.row, "column": chip.column,
            "water_share": round(float((chip.chip.label == 1).mean()), 4),
            "water_iou": _rounded(in_map[chip.chip.name].counts.water_iou),
            "water_iou_alone": _rounded(alone[chip.chip.name].counts.water_iou),
        }
        for chip in mosaic.chips
    ]  # fmt: skip
    seams = compare_tiles(
        ChipScene(whole, learned.spec.bands), TorchRuntime(learned), MapConfig(threads=threads), tiles
    )
    report(
        {
            "model": model, "side": side, "acquired": ACQUIRED,
            "thresholds": {name: each.summary["threshold"] for name, each in mapped.items()},
            "valid_share": round(mapped[model].summary["valid_share"], 4),
            "area_km2": {name: value and round(value, 3) for name, value in mapped[model].areas.items()},
            "scores": scores, "chips": chips, "seams": {"tiles": tiles, **seams},
        },
        json_file,
    )  # fmt: skip


def _write(path: Path, sar: NDArray[np.float32], mosaic: Mosaic) -> None:
    grid = mosaic.grid
    with rasterio.open(
        path, "w", driver="GTiff", height=grid.height, width=grid.width, count=len(sar), dtype="float32", crs=grid.crs,
        transform=rasterio.Affine(*grid.transform), nodata=np.nan, tiled=True, compress="deflate", predictor=3,
    ) as file:  # fmt: skip
        file.write(sar)
        file.descriptions = mosaic.bands.sar


def _score(placed: PlacedChip, classes: NDArray[np.uint8]) -> ChipScore:
    """Return the counts of a chip in a map: pixels that the map leaves out, or nobody labelled, do not count."""
    part = torch.from_numpy(classes[placed.part])
    label = torch.from_numpy(placed.chip.label)
    return ChipScore(placed.chip.name, placed.chip.event, count(part == FLOOD, label, part != NODATA))


def _figures(chips: list[ChipScore]) -> dict[str, Any]:
    scores = score_chips(chips)
    return {name: _rounded(scores[name]) for name in _FIELDS}


def _rounded(value: Any) -> Any:
    if isinstance(value, list):
        return [_rounded(each) for each in value]
    return round(value, 4) if isinstance(value, float) else value


def _shrink(quicklook: Path, picture: Path) -> None:
    """Write the quicklook small enough for a page: narrower, and in a palette."""
    with Image.open(quicklook) as image:
        height = round(image.height * _PICTURE_WIDTH / image.width)
        small = image.convert("RGB").resize((_PICTURE_WIDTH, height), Image.Resampling.LANCZOS).quantize(_COLOURS)
    with replacing(picture) as temporary:
        small.save(temporary, format="PNG", optimize=True)


if __name__ == "__main__":
    run_and_exit(app)
