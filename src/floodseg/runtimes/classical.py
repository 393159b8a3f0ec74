"""Classical baselines ``otsu`` and ``ndwi`` as runtimes, so that they map scenes like models."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from floodseg.bands import SAR_BANDS, Bands
from floodseg.classical import ndwi_is_defined, ndwi_water, otsu_of_histogram, replace_no_signal
from floodseg.config.predict import MapConfig
from floodseg.geo.grid import Window
from floodseg.geo.tiling import blocks
from floodseg.raster.physical import DB_RANGE
from floodseg.runtimes.base import Mask, Values
from floodseg.scene.scene import Layers, Scene, SceneWindow
from floodseg.scene.view import SceneView
from floodseg.system.environment import affinity_cores
from floodseg.system.progress import MapProgress

_BINS_PER_DB = 64
"""Resolution of the histogram: a finer one does not change the threshold visibly."""

_EDGES = np.linspace(*DB_RANGE, round(DB_RANGE[1] - DB_RANGE[0]) * _BINS_PER_DB + 1)

_NO_PROBABILITY = "{} gives no probability: water_probability.tif holds 100 for water and 0 for land"


@dataclass(frozen=True, slots=True)
class ClassicalRuntime:
    """A classical baseline with its threshold; it classifies each pixel independently, as probability 1 or 0."""

    bands: Bands
    water: Callable[[NDArray[np.float32], NDArray[np.float32]], NDArray[np.bool_]]
    """Function of the radar and the optical image (N, C, H, W) that returns True for water, (N, H, W)."""
    threshold: float | None
    """Threshold in the method's own unit; None if the scene has no threshold; no pixel is water then."""
    assumptions: tuple[str, ...]
    """Sentences on the threshold and its origin, for the product metadata."""
    name: str = "numpy"
    device: str = "cpu"
    precision: str = "fp32"
    overlap: int = 0
    optical_margin: int = 0
    finds_clouds: bool = False
    thresholds: tuple[float, float, float, float] = (0.5, 0.5, 0.5, 0.5)

    @property
    def concurrency(self) -> int:
        """Number of cores that the process may use."""
        return affinity_cores()

    def batch_size(self, height: int, width: int) -> int:
        """Return 1, because larger batches save nothing."""
        return 1

    def probability(self, sar: Values, optical: Values, sar_valid: Mask, optical_valid: Mask) -> Values:
        """Return 1 for water and 0 for land; see ``Runtime.probability``."""
        return self.water(sar, optical).astype(np.float32)


class ClassicalMethod(Protocol):
    """A classical baseline whose threshold is not known before it reads a scene."""

    @property
    def bands(self) -> Bands:
        """Input bands."""
        ...

    def view(self, scene: Scene) -> Scene:
        """Return a scene in which the pixels of which the baseline knows nothing are invalid."""
        ...

    def fit(self, scene: Scene, layers: Layers, mapping: MapConfig, *, show_progress: bool) -> ClassicalRuntime:
        """Return the baseline with its threshold for a scene.

        Raises:
            DataError: the scene or the layers cannot be read.
        """
        ...


class Otsu:
    """Water where VH is below the threshold that Otsu's method computes from all valid pixels of the scene.

    Pixels that are excluded or outside the area of interest do not count. VV is read too, as in the radar models:
    swapped bands are refused, and a pixel is valid only if both bands are.
    """

    bands = Bands(sar=SAR_BANDS, optical=())

    def view(self, scene: Scene) -> Scene:
        """Return the scene itself; see :class:`ClassicalMethod`."""
        return scene

    def fit(self, scene: Scene, layers: Layers, mapping: MapConfig, *, show_progress: bool) -> ClassicalRuntime:
        """Read the scene once for its histogram; see :class:`ClassicalMethod`."""
        vh = self.bands.sar.index("VH")
        histogram = sar_histogram(scene, layers, mapping, vh, show_progress=show_progress)
        threshold = otsu_of_histogram(histogram, _EDGES)
        rule = (
            "otsu: VH has no contrast in this scene, so there is no threshold and no water"
            if threshold is None
            else f"otsu: water is where VH is below {threshold:.2f} dB, computed from the {histogram.sum():,} valid "
            "pixels of this scene; Otsu's method returns such a threshold for a scene without water, too"
        )
        limit = -np.inf if threshold is None else threshold
        return ClassicalRuntime(
            self.bands, lambda sar, _: sar[:, vh] < limit, threshold, (rule, _NO_PROBABILITY.format("otsu"))
        )


class Ndwi:
    """Water where NDWI is above 0."""

    bands = Bands(sar=(), optical=("B03", "B08"))

    def view(self, scene: Scene) -> Scene:
        """Return a scene without the pixels whose NDWI is undefined; see :class:`ClassicalMethod`."""
        return _NdwiScene(scene)

    def fit(self, scene: Scene, layers: Layers, mapping: MapConfig, *, show_progress: bool) -> ClassicalRuntime:
        """Return the baseline with its fixed threshold; the scene is not read."""
        rule = "ndwi: water is where NDWI = (B03 - B08) / (B03 + B08) is above 0"
        return ClassicalRuntime(
            self.bands,
            lambda _, optical: ndwi_water(optical[:, 0], optical[:, 1]),
            0.0,
            (rule, _NO_PROBABILITY.format("ndwi")),
        )


class _NdwiScene(SceneView):
    """A scene of B03 and B08 in which pixels with an undefined NDWI are invalid."""

    def read(self, window: Window) -> SceneWindow:
        image = self._scene.read(window)
        known = ndwi_is_defined(image.optical[0], image.optical[1])
        image.optical[:, ~known] = 0
        return replace(image, optical_valid=image.optical_valid & known)


CLASSICAL_METHODS: dict[str, ClassicalMethod] = {"otsu": Otsu(), "ndwi": Ndwi()}
"""Classical baselines by the name that ``model`` accepts."""


def sar_histogram(
    scene: Scene, layers: Layers, mapping: MapConfig, channel: int, *, show_progress: bool
) -> NDArray[Any]:
    """Return the histogram of a radar channel of a scene, in equal bins over ``DB_RANGE``.

    ``mapping.threads`` threads read windows of the tile size. Only the counts stay in memory.
    """
    histogram: NDArray[np.int64] = np.zeros(len(_EDGES) - 1, np.int64)
    lock = threading.Lock()
    grid = scene.grid

    def add(window: Window) -> None:
        masks = layers.read(window)
        counted = masks.inside & ~masks.excluded
        if counted.any():
            image = scene.read(window)
            values = replace_no_signal(image.sar[channel][image.sar_valid & counted])
            bins = ((values - np.float32(DB_RANGE[0])) * _BINS_PER_DB).astype(np.int64)
            counts = np.bincount(bins.clip(0, len(histogram) - 1), minlength=len(histogram))
            with lock:
                histogram[:] += counts
        bar.advance(window.height * window.width)

    with (
        MapProgress(grid.height * grid.width, enabled=show_progress, verb="measured") as bar,
        ThreadPoolExecutor(mapping.threads, "floodseg-histogram") as pool,
    ):
        # consuming the results raises errors, and cancels the windows that have not started
        for _ in pool.map(add, blocks(grid.height, grid.width, mapping.tile_size)):
            pass
    return histogram
