"""Chips with 15 bands for the loading benchmark, stored as Sen1Floods11 stores them.

    python -m benchmarks.speed.make_chips chips15 --chips 40
    python -m benchmarks.speed.loading --data chips15 --layout folders --split all

Radar: VV and VH in dB, float32, NaN is nodata. Optical: 13 bands of reflectance times 10000, int16. Labels:
int16. One strip per band, DEFLATE. The scenes are simulated, or rotated and shifted copies of one real chip.
"""

from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from cyclopts import App
from numpy.typing import NDArray
from rasterio.transform import Affine

from floodseg.app.exit_codes import run_and_exit
from floodseg.bands import IGNORE, REFLECTANCE_SCALE
from floodseg.chips.augment import dihedral
from floodseg.config.data import DataConfig
from floodseg.datasets.synthetic import SyntheticChips
from floodseg.errors import ConfigError

app = App(help="Chips with 15 bands for the loading benchmark.")
_FOLDERS = ("S1Hand", "S2Hand", "LabelHand")
_NODATA = {"S1Hand": np.nan, "S2Hand": 0, "LabelHand": None}


@app.default
def make_chips(
    folder: Path,
    *,
    chips: int = 40,
    size: int = 512,
    like: Path | None = None,
) -> None:
    """Write chips into the subfolders S1Hand, S2Hand and LabelHand.

    Parameters
    ----------
    folder
        Parent of the three folders.
    chips
        Number of chips.
    size
        Height and width in pixels of simulated chips.
    like
        Folder with the three files of one real chip; rotated and shifted copies of it are written instead.
    """
    for number in range(chips):
        images = _simulated(number, chips, size) if like is None else _copied(like, number)
        for part, array in zip(_FOLDERS, images, strict=True):
            _write(folder / part / f"{'AB'[number % 2]}_{number}_{part}.tif", array, _NODATA[part])


def _simulated(number: int, chips: int, size: int) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    scenes = SyntheticChips("train", DataConfig(layout="synthetic", synthetic_chips=max(chips, 2), synthetic_size=size))
    chip = scenes.read(number)
    sar = np.where(chip.sar_valid, chip.sar, np.float32(np.nan))
    optical = np.where(chip.optical_valid, np.round(chip.optical * REFLECTANCE_SCALE), 0).astype(np.int16)
    return sar, optical, np.where(chip.label == IGNORE, np.int16(-1), chip.label.astype(np.int16))[None]


def _copied(example: Path, number: int) -> tuple[NDArray[Any], ...]:
    images = []
    for part in _FOLDERS:
        found = sorted(example.glob(f"*_{part}.tif"))
        if len(found) != 1:
            raise ConfigError(f"--like {example}: holds {len(found)} files *_{part}.tif; name a folder of one chip")
        with rasterio.open(found[0]) as source:
            images.append(np.roll(dihedral(source.read(), number % 8), (17 * number, 29 * number), axis=(1, 2)))
    return tuple(images)


def _write(path: Path, array: NDArray[Any], nodata: float | None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    count, height, width = array.shape
    with rasterio.open(
        path, "w", driver="GTiff", count=count, height=height, width=width, dtype=array.dtype, nodata=nodata,
        crs="EPSG:4326", transform=Affine(9e-5, 0, 0, 0, -9e-5, 0), compress="deflate", interleave="band",
        blockysize=height,
    ) as target:  # fmt: skip
        target.write(array)


if __name__ == "__main__":
    run_and_exit(app)
