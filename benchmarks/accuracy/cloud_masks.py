"""Clouds found by csmask and by brightness in optical images with labels, and the time that the search takes.

    python -m benchmarks.accuracy.cloud_masks shares --data DIR --json FILE
    python -m benchmarks.accuracy.cloud_masks seconds --data DIR --models s1-efficient --json FILE

DIR holds ``scenes`` (images with labels of water), ``clouds`` (an image with labels of cloud), ``pairs`` (one place in
both levels of Sentinel-2), and ``dfc24`` (chips with labels of flood). The masks are those of ``floodseg predict``.
"""

import statistics
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any, get_args
from unittest.mock import patch

import numpy as np
import rasterio
from cyclopts import App, Parameter
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation

import floodseg
from benchmarks.report import report
from floodseg.app.exit_codes import run_and_exit
from floodseg.bands import Bands, ProductLevel, product_level
from floodseg.config.predict import SceneConfig
from floodseg.geo.grid import Window
from floodseg.models.checkpoint.zoo import shipped_models
from floodseg.scene.clouds import bright_pixels, coarse_mask, csmask
from floodseg.scene.clouds.bright_pixels import BrightPixels
from floodseg.scene.clouds.coarse_mask import CloudDetector, find_clouds
from floodseg.scene.clouds.csmask import CSMASK_BANDS, Csmask
from floodseg.scene.clouds.hide_clouds import hide_clouds
from floodseg.scene.file_scene import open_scene

app = App(help="Measure masks of clouds.", default_parameter=Parameter(consume_multiple=True))

Mask = NDArray[np.bool_]

_BANDS = Bands((), CSMASK_BANDS)
_PROBABILITIES = (0.5, 0.6, 0.7, 0.8, 0.9)
_BLUE, _SHORTWAVE = (0.15, 0.175, 0.2, 0.225, 0.25), (0.12, 0.15, 0.18, 0.21)
_OFFSETS = {"amazon_L2A": -1000, "282D_L1C": -1000, "433D_L1C": -1000, "433D_L2A": -1000, "609U_L1C": -1000}
"""Offset of stored reflectance, by image; 0 elsewhere."""


@dataclass(frozen=True, slots=True)
class _Image:
    name: str
    path: Path
    level: ProductLevel
    label: NDArray[np.uint8] | None
    """(H, W): 1 water, or in the image ``clouds`` 0 clear, 1 cloud, 2 shadow; None without labels."""


@app.command
def shares(*, data: Path, json_file: Annotated[Path | None, Parameter(name="--json")] = None) -> None:
    """Measure the shares of water, cloud and clear ground that are hidden; print one JSON object.

    Parameters
    ----------
    data
        Folder of the optical images.
    json_file
        Write the figures as one JSON object.
    """
    water = [_image(data / "scenes", name) for name in ("shanghai_L2A_6band", "amazon_L2A", "brandenburg_L1C")]
    cloud = _Image(
        "clouds", data / "clouds/sentinel2_toa_6band.tif", "L1C", _label(data / "clouds/sentinel2_label.tif")
    )
    clear = [
        _Image(f"{path.name.split('_')[0]}_{level}", path, level, None)
        for level in get_args(ProductLevel)
        for path in sorted((data / "pairs").glob(f"*_S2{level}.tif"))
    ]
    chips = [
        _Image("dfc24", path, "L2A", _label(data / "dfc24/LabelHand" / path.name.replace("S2Hand", "LabelHand")))
        for path in sorted((data / "dfc24/S2Hand").glob("*.tif"))
    ]
    report(
        {
            "shipped": {
                "csmask_probability": csmask.CLOUD_PROBABILITY,
                "B02": bright_pixels.BLUE,
                "B11": bright_pixels.SHORTWAVE,
            },
            "csmask": {
                "own level": _shares(water, cloud, clear, chips, "own level"),
                **{level: _shares(water, cloud, clear, (), level) for level in get_args(ProductLevel)},
            },
            "brightness": _shares(water, cloud, clear, chips, "brightness"),
            "csmask_variants": list(_csmask_variants(water, cloud)),
            "brightness_thresholds": list(_thresholds(water, cloud, clear)),
        },
        json_file,
    )


@app.command
def seconds(
    *,
    data: Path,
    models: tuple[str, ...] = ("s1-efficient",),
    side: int = 3072,
    rounds: int = 3,
    json_file: Annotated[Path | None, Parameter(name="--json")] = None,
) -> None:
    """Measure the time of the search for clouds and of mapping; print one JSON object.

    Parameters
    ----------
    data
        Folder of the optical images.
    models
        Models whose time of mapping is compared with the search for clouds.
    side
        Side of the scene in pixels.
    rounds
        Number of measurements of each time, interleaved.
    json_file
        Write the figures as one JSON object.
    """
    report(_times(data, models, side, rounds), json_file)


def _image(folder: Path, name: str) -> _Image:
    level = product_level((), [name])
    assert level is not None
    return _Image(name, folder / f"{name}.tif", level, _label(folder / f"{name.split('_')[0]}_label.tif"))


def _label(path: Path) -> NDArray[np.uint8]:
    with rasterio.open(path) as source:
        label: NDArray[np.uint8] = source.read(1)
    return label


def _detector(image: _Image, method: str) -> CloudDetector:
    """Return the detector ``brightness``, or csmask for a level, by default that of the image."""
    if method == "brightness":
        return BrightPixels()
    return Csmask(CSMASK_BANDS, "L1C" if method == "L1C" else "L2A" if method == "L2A" else image.level)


def _mask(image: _Image, detector: CloudDetector) -> Mask:
    config = SceneConfig(optical=(str(image.path),), optical_offset=_OFFSETS.get(image.name, 0))
    with closing(open_scene(config, Bands((), detector.bands))) as scene:
        window = Window(0, 0, scene.grid.height, scene.grid.width)
        return find_clouds(scene, detector, window, threads=2).read(window)


def _shares(
    water: Sequence[_Image], cloud: _Image, clear: Sequence[_Image], chips: Sequence[_Image], method: str
) -> dict[str, Any]:
    """Return the shares that a method hides."""
    hidden: dict[str, Any] = {"water": {}, "image": {}}
    for image in (*water, *clear):
        found = _mask(image, _detector(image, method))
        hidden["image"][image.name] = _round(found.mean())
        if image.label is not None:
            hidden["water"][image.name] = _round(found[image.label == 1].mean())
    if chips:
        detector = _detector(chips[0], method)
        masks = [_mask(chip, detector) for chip in chips]
        labels = [np.asarray(chip.label == 1) for chip in chips]
        hidden["water"]["dfc24"] = _round(np.concatenate(masks)[np.concatenate(labels)].mean())
    return {**hidden, "clouds": _found(cloud, _mask(cloud, _detector(cloud, method)))}


def _found(cloud: _Image, mask: Mask) -> dict[str, float]:
    """Return the shares of cloud, clear ground and shadow that a mask hides."""
    return {
        name: _round(mask[cloud.label == code].mean()) for code, name in ((1, "cloud"), (0, "clear"), (2, "shadow"))
    }


def _csmask_variants(water: Sequence[_Image], cloud: _Image) -> Iterator[dict[str, Any]]:
    """Yield figures of csmask with other levels, probabilities, sizes of cells, and with masks that are dilated."""
    brandenburg = water[-1]
    shipped = csmask.CLOUD_PROBABILITY
    variants: list[tuple[ProductLevel, float, float, bool]] = [
        *(("L1C", 30.0, probability, False) for probability in _PROBABILITIES),
        ("L1C", 30.0, shipped, True),
        ("L1C", 20.0, shipped, False),
        ("L1C", 10.0, shipped, False),
        ("L2A", 30.0, 0.5, False),
        ("L2A", 30.0, shipped, False),
    ]
    for level, metres, probability, dilated in variants:
        with _patched((coarse_mask, "CELL_METRES", metres), (csmask, "CLOUD_PROBABILITY", probability)):
            masks = {image.name: _mask(image, _detector(image, level)) for image in (brandenburg, cloud)}
        if dilated:  # by one cell of 3 pixels
            masks = {name: binary_dilation(mask, np.ones((7, 7))) for name, mask in masks.items()}
        yield {
            "level": level, "cell_metres": metres, "probability": probability, "dilated": dilated,
            "brandenburg_water": _round(masks[brandenburg.name][brandenburg.label == 1].mean()),
            **_found(cloud, masks[cloud.name]),
        }  # fmt: skip


def _thresholds(water: Sequence[_Image], cloud: _Image, clear: Sequence[_Image]) -> Iterator[dict[str, Any]]:
    """Yield figures of brightness with other thresholds."""
    snow = [image for image in clear if image.name.startswith("609U")]
    for blue in _BLUE:
        for shortwave in _SHORTWAVE:
            with _patched((bright_pixels, "BLUE", blue), (bright_pixels, "SHORTWAVE", shortwave)):
                masks = {image.name: _mask(image, BrightPixels()) for image in (*water, *snow, cloud)}
            yield {
                "B02": blue, "B11": shortwave,
                "water": {image.name: _round(masks[image.name][image.label == 1].mean()) for image in water},
                "snow": {image.name: _round(masks[image.name].mean()) for image in snow},
                **_found(cloud, masks[cloud.name]),
            }  # fmt: skip


@contextmanager
def _patched(*values: tuple[Any, str, float]) -> Iterator[None]:
    with ExitStack() as stack:
        for module, name, value in values:
            stack.enter_context(patch.object(module, name, value))
        yield


def _round(share: Any) -> float:
    return round(float(share), 5)


def _times(data: Path, models: Sequence[str], side: int, rounds: int) -> dict[str, Any]:
    """Return the seconds of the search for clouds and of mapping with models, on one grid, in interleaved rounds.

    Each is (seconds on the clock, CPU seconds of all threads). CPU seconds do not depend on the load of the machine.
    """
    taken: dict[str, list[tuple[float, float]]] = {}
    with TemporaryDirectory() as folder:
        sar, optical = _write_scene(Path(folder), data, side)
        for _ in range(rounds):
            for method in ("csmask", "brightness"):
                taken.setdefault(method, []).append(_search_seconds(optical, method))
            for model in models:
                taken.setdefault(model, []).append(_mapping_seconds(model, sar, optical))
    median = {
        name: [round(statistics.median(column), 3) for column in zip(*each, strict=True)]
        for name, each in taken.items()
    }
    ratios = {
        f"{method} to {model}": [
            round(one / other, 3) for one, other in zip(median[method], median[model], strict=True)
        ]
        for method in ("csmask", "brightness")
        for model in models
    }
    return {"side": side, "wall_and_cpu_seconds": median, "ratios": ratios, "rounds": taken}


def _write_scene(folder: Path, data: Path, side: int) -> tuple[Path, Path]:
    """Write a radar and an optical image of one grid, copies of real images side by side, as tiled GeoTIFF."""
    with rasterio.open(data / "scenes/brandenburg_L1C.tif") as source:
        names = list(CSMASK_BANDS)
        optical = source.read([source.descriptions.index(name) + 1 for name in names])
        profile = {
            "driver": "GTiff", "crs": source.crs, "transform": source.transform, "width": side, "height": side,
            "tiled": True, "compress": "deflate",
        }  # fmt: skip
    with rasterio.open(next((data / "pairs").glob("282D*_S1RTC.tif"))) as source:
        sar = source.read().astype(np.float32)
    for name, image, bands in (("sar.tif", sar, ("VV", "VH")), ("optical_L1C.tif", optical, CSMASK_BANDS)):
        padding = [(0, 0), *((0, max(0, side - length)) for length in image.shape[1:])]
        tiled = np.pad(image, padding, mode="symmetric")[:, :side, :side]
        with rasterio.open(folder / name, "w", count=len(tiled), dtype=str(tiled.dtype), **profile) as target:
            target.write(tiled)
            target.descriptions = bands
    return folder / "sar.tif", folder / "optical_L1C.tif"


def _search_seconds(optical: Path, method: str) -> tuple[float, float]:
    """Return wall and CPU seconds of the search, the start of the network included."""
    config = SceneConfig(optical=(str(optical),), optical_offset=0)
    with closing(open_scene(config, _BANDS)) as scene, ExitStack() as stack:
        if method == "brightness":
            stack.enter_context(patch("floodseg.scene.clouds.hide_clouds.csmask_is_installed", return_value=False))
        start, cpu_start = time.perf_counter(), time.process_time()
        hide_clouds(scene, "auto", threads=2)
        return time.perf_counter() - start, time.process_time() - cpu_start


def _mapping_seconds(model: str, sar: Path, optical: Path) -> tuple[float, float]:
    """Return wall and CPU seconds of a map, its products included, with the images that the model takes."""
    bands = next(each for each in shipped_models() if each.name == model).description["bands"]
    images: dict[str, Any] = {"sar": sar} if bands["sar"] else {}
    if bands["optical"]:
        images |= {"optical": optical, "optical_offset": 0, "cloud_mask": "none"}
    start, cpu_start = time.perf_counter(), time.process_time()
    floodseg.predict_scene(**images, model=model, threads=2, datetime="2024-01-01")
    return time.perf_counter() - start, time.process_time() - cpu_start


if __name__ == "__main__":
    run_and_exit(app)
