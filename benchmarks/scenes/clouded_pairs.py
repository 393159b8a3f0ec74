"""Maps of real radar and optical images of one place, under simulated clouds, by the shipped model of both sensors.

    python -m benchmarks.scenes.clouded_pairs --pairs FOLDER --picture docs/pictures/both-sensors.png --json FILE

FOLDER holds ``NAME_S1RTC.tif``, ``NAME_S2L1C.tif`` and ``NAME_S2L2A.tif`` of each place, on one grid. Simulated clouds
hide 10 to 100 % of each optical image, and a perfect mask marks them. Each pixel under clouds must have the class of
radar alone or that of the clear map of both sensors; with all pixels hidden the map must equal that of radar alone. The
file also has the agreement of the maps of one place. The places have no labels.
"""

from dataclasses import dataclass
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

from benchmarks.report import report
from floodseg.app.exit_codes import run_and_exit
from floodseg.bands import L1C_BANDS, L2A_BANDS, REFLECTANCE_SCALE, VALIDITY_CODES
from floodseg.classical import ndwi_water
from floodseg.config.predict import MapConfig
from floodseg.errors import ConfigError
from floodseg.inference.windows.map_scene import map_scene
from floodseg.products.strips import ProbabilityStrip
from floodseg.runtimes.base import Runtime
from floodseg.runtimes.select import open_runtime
from floodseg.scene.array_scene import ArrayScene
from floodseg.simulate.clouds import THIN, cloud_mask, simulate_cloud

app = App(help="Maps of both sensors under simulated clouds.")

_MIN_OFFSET_VALUE = 900
"""Stored values from processing baseline 04.00 or later, which adds 1000, are not below this value."""
_COVERS = tuple(round(0.1 * tenth, 1) for tenth in range(1, 11))
_LEVELS = {"L1C": L1C_BANDS, "L2A": L2A_BANDS}
_TRANSFORM, _CRS = (10.0, 0.0, 500_000.0, 0.0, -10.0, 5_000_000.0), "EPSG:32633"
"""Any grid: only maps of one place are compared."""
_PICTURE_COVER = 0.1

Array = NDArray[np.float32]


@app.default
def clouded_pairs(
    *,
    pairs: Path,
    picture: Path | None = None,
    picture_of: str = "282D_485L_3_3",
    json_file: Annotated[Path | None, Parameter(name="--json")] = None,
) -> None:
    """Map every place with and without clouds, check each pixel, and print one JSON object.

    Parameters
    ----------
    pairs
        Folder of the images.
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
    radar_runtime, fused_runtime = (open_runtime(name, MapConfig()) for name in ("s1-efficient", "s1s2"))
    places = {}
    for name in names:
        sar = _read(pairs / f"{name}_S1RTC.tif")
        for level, bands in _LEVELS.items():
            optical = reflectance(pairs / f"{name}_S2{level}.tif")
            pair = Pair(radar_runtime, fused_runtime, sar, optical, bands)
            places[f"{name} {level}"] = pair.figures()
            if picture is not None and (name, level) == (picture_of, "L2A"):
                draw(picture, pair)
    report({"places": places}, json_file)


@dataclass(frozen=True)
class Map:
    """Map of one place, (H, W) each."""

    probability: Array
    water: NDArray[np.bool_]
    deciding: NDArray[np.uint8]
    """Codes of the sensors that decide: 1 radar, 2 the optical image, 3 both."""

    def shares(self) -> dict[str, float]:
        """Return the share of the pixels that each set of sensors decides."""
        return {name: float((self.deciding == code).mean()) for name, code in VALIDITY_CODES.items()}


@dataclass(frozen=True)
class Pair:
    """Images of one place, and the runtimes of radar alone and of both sensors."""

    radar_runtime: Runtime
    fused_runtime: Runtime
    sar: Array
    optical: Array
    bands: tuple[str, ...]

    def radar_map(self) -> Map:
        """Map radar alone."""
        return _map(self.radar_runtime, sar=self.sar)

    def fused_map(self, hidden: NDArray[np.bool_] | None = None) -> Map:
        """Map both images; ``hidden`` are pixels of the optical image to make invalid."""
        optical = self.optical if hidden is None else np.where(hidden, np.float32(np.nan), self.optical)
        return _map(self.fused_runtime, sar=self.sar, optical=optical, optical_bands=self.bands)

    def optical_map(self) -> Map:
        """Map the optical image alone."""
        return _map(self.fused_runtime, optical=self.optical, optical_bands=self.bands)

    def figures(self) -> dict[str, Any]:
        """Return shares of water, agreement of the maps, and the figures under clouds."""
        radar, clear = self.radar_map(), self.fused_map()
        water = {
            "s1-efficient": radar.water,
            "s2": self.optical_map().water,
            "s1s2": clear.water,
            "ndwi": ndwi_water(*(self.optical[self.bands.index(band)] for band in ("B03", "B08"))),
        }
        return {
            "water_share": {name: float(each.mean()) for name, each in water.items()},
            "sensor_shares": clear.shares(),
            "agreement": {
                f"{one}, {other}": float((water[one] == water[other]).mean()) for one, other in combinations(water, 2)
            },
            "clouds": [self._under_clouds(cover, radar, clear) for cover in _COVERS],
        }

    def _under_clouds(self, cover: float, radar: Map, clear: Map) -> dict[str, Any]:
        hidden = clouds(self.optical.shape[1:], cover)
        clouded = self.fused_map(hidden)
        return {
            "cover": cover,
            "hidden_share": float(hidden.mean()),
            "sensor_shares": clouded.shares(),
            "pixels_of_another_class": int(((clouded.water != radar.water) & (clouded.water != clear.water)).sum()),
            "equals_radar_alone": clouded.probability.tobytes() == radar.probability.tobytes(),
        }


def _map(runtime: Runtime, **images: Any) -> Map:
    scene = ArrayScene(runtime.bands, **images, crs=_CRS, transform=_TRANSFORM)
    strips: list[ProbabilityStrip] = []
    map_scene(scene, runtime, MapConfig(), strips.append)
    probability, deciding = (
        np.concatenate([getattr(strip, name) for strip in strips]) for name in ("probability", "validity")
    )
    return Map(probability, probability >= np.array(runtime.thresholds, np.float32)[deciding], deciding)


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


def draw(path: Path, pair: Pair) -> None:
    """Draw both images and four maps of one place; simulated clouds hide a part of the optical image in the last."""
    sar, optical, bands = pair.sar, pair.optical, pair.bands
    hidden = clouds(optical.shape[1:], _PICTURE_COVER)
    maps = {
        "s1-efficient: radar alone": pair.radar_map(),
        "s2: optical image alone": pair.optical_map(),
        "s1s2: both": pair.fused_map(),
        "s1s2: both, under the clouds": pair.fused_map(hidden),
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
        axis.imshow(each.water, cmap=water, interpolation="nearest")
        axis.set_title(title, fontsize=9)
    for axis in axes.flat:
        axis.set_axis_off()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    plt.close(figure)
    Image.open(path).convert("P", palette=Image.Palette.ADAPTIVE, colors=128).save(path, optimize=True)


if __name__ == "__main__":
    run_and_exit(app)
