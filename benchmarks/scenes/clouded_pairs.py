"""Maps of real radar and optical images of one place, under simulated clouds, by the shipped model of both sensors.

    python -m benchmarks.scenes.clouded_pairs --pairs FOLDER --picture docs/pictures/both-sensors.png --json FILE

FOLDER holds ``NAME_S1RTC.tif``, ``NAME_S2L1C.tif`` and ``NAME_S2L2A.tif`` of each place, on one grid. Simulated clouds
hide 10 to 100 % of each optical image, and a perfect mask marks them. Each pixel under clouds must have the class of
radar alone or that of the clear map of both sensors; with all pixels hidden the map must equal that of radar alone. The
file also has the agreement of the maps of one place. The places have no labels.
"""

from itertools import combinations
from pathlib import Path
from typing import Annotated, Any

import matplotlib.pyplot as plt
import numpy as np
import rasterio
from cyclopts import App, Parameter
from matplotlib.colors import ListedColormap
from numpy.typing import NDArray
from PIL import Image

import floodseg
from benchmarks.report import report
from floodseg.app.exit_codes import run_and_exit
from floodseg.bands import L1C_BANDS, L2A_BANDS, REFLECTANCE_SCALE
from floodseg.errors import ConfigError
from floodseg.inference.flood_map import FloodMap
from floodseg.simulate.clouds import THIN, cloud_mask, simulate_cloud

app = App(help="Maps of both sensors under simulated clouds.")

_MIN_OFFSET_VALUE = 900
"""Stored values from processing baseline 04.00 or later, which adds 1000, are not below this value."""
_COVERS = tuple(round(0.1 * tenth, 1) for tenth in range(1, 11))
_LEVELS = {"L1C": L1C_BANDS, "L2A": L2A_BANDS}
_TRANSFORM, _CRS = (10.0, 0.0, 500_000.0, 0.0, -10.0, 5_000_000.0), "EPSG:32633"
"""Any grid: only maps of one place are compared."""
_PICTURE_COVER = 0.4

Array = NDArray[np.float32]


@app.default
def clouded_pairs(
    *,
    pairs: Path,
    model: str = "s1s2",
    picture: Path | None = None,
    picture_of: str = "282D_485L_3_3",
    json_file: Annotated[Path | None, Parameter(name="--json")] = None,
) -> None:
    """Map every place with and without clouds, check each pixel, and print one JSON object.

    Parameters
    ----------
    pairs
        Folder of the images.
    model
        Model of both sensors.
    picture
        Write a picture of the images and maps of one place.
    picture_of
        Place of the picture.
    json_file
        Write the figures as one JSON object.
    """
    names = sorted(path.name.removesuffix("_S1RTC.tif") for path in pairs.glob("*_S1RTC.tif"))
    if not names:
        raise ConfigError(f"--pairs {pairs}: holds no NAME_S1RTC.tif; name the folder of the pairs")
    places = {}
    for name in names:
        sar = _read(pairs / f"{name}_S1RTC.tif")
        for level, bands in _LEVELS.items():
            optical = reflectance(pairs / f"{name}_S2{level}.tif")
            places[f"{name} {level}"] = _figures(model, sar, optical, bands)
            if picture is not None and (name, level) == (picture_of, "L2A"):
                draw(picture, model, sar, optical, bands)
    report({"model": model, "places": places}, json_file)


def _figures(model: str, sar: Array, optical: Array, bands: tuple[str, ...]) -> dict[str, Any]:
    radar, clear = _map(model, sar=sar), _map(model, sar=sar, optical=optical, optical_bands=bands)
    maps = {
        "radar alone": radar,
        "optical image alone": _map(model, optical=optical, optical_bands=bands),
        "both": clear,
        "ndwi": _map("ndwi", optical=optical, optical_bands=bands),
    }
    return {
        "water_share": {name: float((each.classes == 1).mean()) for name, each in maps.items()},
        "sensor_shares": clear.summary["sensor_shares"],
        "agreement": {
            f"{one}, {other}": float((maps[one].classes == maps[other].classes).mean())
            for one, other in combinations(maps, 2)
        },
        "clouds": [_under_clouds(model, sar, optical, bands, cover, radar, clear) for cover in _COVERS],
    }


def _under_clouds(
    model: str, sar: Array, optical: Array, bands: tuple[str, ...], cover: float, radar: FloodMap, clear: FloodMap
) -> dict[str, Any]:
    hidden = clouds(optical.shape[1:], cover)
    clouded = _map(model, sar=sar, optical=np.where(hidden, np.nan, optical), optical_bands=bands)
    other = (clouded.classes != radar.classes) & (clouded.classes != clear.classes)
    same_as_radar = all(
        np.array_equal(getattr(clouded, name), getattr(radar, name)) for name in ("classes", "probability")
    )
    return {
        "cover": cover,
        "hidden_share": float(hidden.mean()),
        "sensor_shares": clouded.summary["sensor_shares"],
        "pixels_of_another_class": int(other.sum()),
        "equals_radar_alone": same_as_radar,
    }


def clouds(shape: tuple[int, ...], cover: float) -> NDArray[np.bool_]:
    """Return the perfect mask (H, W) of a simulated cloud whose opacity exceeds 0.1 in ``cover`` of the pixels."""
    return cloud_mask(simulate_cloud(np.random.default_rng(0), *shape, cover, edge=THIN), "perfect")


def reflectance(path: Path) -> Array:
    """Return an optical image as reflectance (C, H, W); its offset is guessed from its darkest values."""
    stored = _read(path)
    offset = 1000 if min(float(np.percentile(band, 0.1)) for band in stored) >= _MIN_OFFSET_VALUE else 0
    return ((stored - offset) / REFLECTANCE_SCALE).astype(np.float32)


def _read(path: Path) -> Array:
    with rasterio.open(path) as file:
        values: Array = file.read(out_dtype=np.float32)
        return values


def _map(model: str, **images: Any) -> FloodMap:
    return floodseg.predict_scene(**images, model=model, crs=_CRS, transform=_TRANSFORM, datetime="2026-01-01")


def draw(path: Path, model: str, sar: Array, optical: Array, bands: tuple[str, ...]) -> None:
    """Draw both images and four maps of one place; simulated clouds hide a part of the optical image in the last."""
    hidden = clouds(optical.shape[1:], _PICTURE_COVER)
    under_clouds = np.where(hidden, np.nan, optical)
    maps = {
        "radar alone": _map(model, sar=sar),
        "optical image alone": _map(model, optical=optical, optical_bands=bands),
        "both": _map(model, sar=sar, optical=optical, optical_bands=bands),
        "both, clouds hidden by a mask": _map(model, sar=sar, optical=under_clouds, optical_bands=bands),
    }
    colours = np.stack([optical[bands.index(band)] for band in ("B04", "B03", "B02")], axis=-1)
    shown = np.clip(colours / np.percentile(colours, 98), 0, 1)
    radar = np.clip((sar[1] + 28) / 18, 0, 1)
    figure, axes = plt.subplots(2, 3, figsize=(9, 6.4), layout="constrained")
    pictures = {"radar (VH)": radar, "optical image, simulated clouds white": np.where(hidden[..., None], 1.0, shown)}
    for axis, (title, image) in zip(axes[0], pictures.items(), strict=False):
        axis.imshow(image, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
        axis.set_title(title, fontsize=9)
    water = ListedColormap(["#e8e4d8", "#2b6cb0"])
    for axis, (title, each) in zip((axes[0, 2], *axes[1]), maps.items(), strict=True):
        axis.imshow(each.classes == 1, cmap=water, interpolation="nearest")
        axis.set_title(title, fontsize=9)
    for axis in axes.flat:
        axis.set_axis_off()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    plt.close(figure)
    Image.open(path).convert("P", palette=Image.Palette.ADAPTIVE, colors=128).save(path, optimize=True)


if __name__ == "__main__":
    run_and_exit(app)
