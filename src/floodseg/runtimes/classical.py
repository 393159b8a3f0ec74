"""The reference methods ``otsu`` and ``ndwi`` behind the runtime contract, so that they map scenes as models do."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from floodseg.bands import SAR_BANDS, Bands
from floodseg.classical import ndwi_water, otsu_of_histogram
from floodseg.config.predict import MapConfig
from floodseg.geo.grid import GeoGrid, Window
from floodseg.raster.read import DB_RANGE
from floodseg.scene.scene import Layers, Scene
from floodseg.system.environment import allowed_cores
from floodseg.system.progress import MapProgress

_BINS_PER_DB = 64
"""Fine enough that the place of an edge within a bin does not show, and few enough to hold for any scene."""

_EDGES = np.linspace(*DB_RANGE, round(DB_RANGE[1] - DB_RANGE[0]) * _BINS_PER_DB + 1)

_NO_PROBABILITY = "{} gives no probability: water_probability.tif holds 100 where it finds water, else 0"


@dataclass(frozen=True, slots=True)
class PlainRuntime:
    """A method that decides each pixel by itself: probability 1 where it finds water, else 0."""

    bands: Bands
    water: Callable[[NDArray[np.float32], NDArray[np.float32]], NDArray[np.bool_]]
    """Radar and optical image (N, C, H, W) -> (N, H, W)."""
    threshold: float | None
    """In the method's own unit; None where it found none, and so no water."""
    assumptions: tuple[str, ...]
    """What the threshold is and where it comes from, one sentence each."""
    name: str = "numpy"
    device: str = "cpu"
    precision: str = "fp32"
    overlap: int = 0
    thresholds: tuple[float, float, float, float] = (0.5, 0.5, 0.5, 0.5)

    @property
    def concurrency(self) -> int:
        """As many calls as there are cores."""
        return allowed_cores()

    def batch_size(self, height: int, width: int) -> int:
        """Return one window: more at once would save nothing."""
        return 1

    def probability(
        self,
        sar: NDArray[np.float32],
        optical: NDArray[np.float32],
        sar_valid: NDArray[np.bool_],
        optical_valid: NDArray[np.bool_],
    ) -> NDArray[np.float32]:
        """Return 1 for water and 0 for land, see ``Runtime.probability``."""
        return self.water(sar, optical).astype(np.float32)


class PlainMethod(Protocol):
    """A reference method before it has seen the scene."""

    @property
    def bands(self) -> Bands:
        """The channels that it takes."""
        ...

    def fitted(self, scene: Scene, layers: Layers, mapping: MapConfig, progress: bool) -> PlainRuntime:
        """Return the method with its threshold for a scene.

        What the scene or the layers raise in reading is raised here.
        """
        ...


class Otsu:
    """Water where VH is below the one threshold that Otsu's method finds in the whole scene.

    Pixels outside of the area of interest and excluded ones do not count. VV is taken for what it says about the file:
    swapped bands are refused, and a pixel is valid where both are, as in the radar models.
    """

    bands = Bands(sar=SAR_BANDS, optical=())

    def fitted(self, scene: Scene, layers: Layers, mapping: MapConfig, progress: bool) -> PlainRuntime:
        """Read the scene once for its histogram; see :class:`PlainMethod`."""
        vh = self.bands.sar.index("VH")
        pixels = vh_histogram(scene, layers, mapping, progress, vh)
        threshold = otsu_of_histogram(pixels, _EDGES)
        found = (
            "otsu: VH has no contrast in this scene, so there is no threshold and no water"
            if threshold is None
            else f"otsu: water is where VH is below {threshold:.2f} dB, which parts the {pixels.sum():,} valid pixels "
            "of this scene into dark and bright ones; it does so in a scene without water, too"
        )
        level = -np.inf if threshold is None else threshold
        return PlainRuntime(
            self.bands, lambda sar, _: sar[:, vh] < level, threshold, (found, _NO_PROBABILITY.format("otsu"))
        )


class Ndwi:
    """Water where NDWI is above 0."""

    bands = Bands(sar=(), optical=("B03", "B08"))

    def fitted(self, scene: Scene, layers: Layers, mapping: MapConfig, progress: bool) -> PlainRuntime:
        """Return the method as it is; see :class:`PlainMethod`."""
        rule = "ndwi: water is where NDWI = (B03 - B08) / (B03 + B08) is above 0"
        return PlainRuntime(
            self.bands,
            lambda _, optical: ndwi_water(optical[:, 0], optical[:, 1]),
            0.0,
            (rule, _NO_PROBABILITY.format("ndwi")),
        )


PLAIN_METHODS: dict[str, PlainMethod] = {"otsu": Otsu(), "ndwi": Ndwi()}
"""By the name under which they are given as MODEL."""


def vh_histogram(scene: Scene, layers: Layers, mapping: MapConfig, progress: bool, channel: int) -> NDArray[Any]:
    """Return how many pixels of a radar channel lie in each of many equal bins over all possible dB.

    Windows of the tile size are read by ``mapping.threads`` threads; nothing but the counts is kept.
    """
    total: NDArray[np.int64] = np.zeros(len(_EDGES) - 1, np.int64)
    lock = threading.Lock()
    grid = scene.grid

    def count(window: Window) -> None:
        around = layers.read(window)
        wanted = around.inside & ~around.excluded
        if wanted.any():
            content = scene.read(window)
            values = content.sar[channel][content.sar_valid & wanted]
            bins = ((values - np.float32(DB_RANGE[0])) * _BINS_PER_DB).astype(np.int64)
            counts = np.bincount(bins.clip(0, len(total) - 1), minlength=len(total))
            with lock:
                total[:] += counts
        bar.advance(window.height * window.width)

    with (
        MapProgress(grid.height * grid.width, enabled=progress, verb="measured") as bar,
        ThreadPoolExecutor(mapping.threads, "floodseg-histogram") as pool,
    ):
        # an error, or Ctrl-C, cancels the windows that have not begun
        for _ in pool.map(count, _windows(grid, mapping.tile_size)):
            pass
    return total


def _windows(grid: GeoGrid, side: int) -> Iterator[Window]:
    for top in range(0, grid.height, side):
        for left in range(0, grid.width, side):
            yield Window(top, left, min(side, grid.height - top), min(side, grid.width - left))
