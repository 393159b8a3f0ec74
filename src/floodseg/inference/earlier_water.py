"""Water of an earlier radar image, mapped by the same model: it counts as permanent water."""

import tempfile

import numpy as np
from numpy.typing import NDArray

from floodseg.config.predict import MapConfig
from floodseg.errors import DataError
from floodseg.inference.windows.map_scene import map_scene
from floodseg.products.strips import ProbabilityStrip
from floodseg.runtimes.base import Runtime
from floodseg.scene.scene import Scene


class BitMaskFile:
    """Mask of H rows and W columns, one bit per pixel, in a temporary file that the system removes with the process.

    Args:
        height: rows; those never written are False.
        width: columns.
    """

    def __init__(self, height: int, width: int) -> None:
        self._width = width
        self._row_bytes = -(-width // 8)
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 (open until close)
        self._file.truncate(height * self._row_bytes)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def write(self, top: int, mask: NDArray[np.bool_]) -> None:
        """Write rows (h, W) from row ``top`` on."""
        self._file.seek(top * self._row_bytes)
        self._file.write(np.packbits(mask, axis=1).tobytes())

    def read(self, top: int, rows: int) -> NDArray[np.bool_]:
        """Return rows (h, W) from row ``top`` on."""
        self._file.seek(top * self._row_bytes)
        packed = np.frombuffer(self._file.read(rows * self._row_bytes), np.uint8)
        return np.unpackbits(packed.reshape(rows, self._row_bytes), axis=1, count=self._width).astype(np.bool_)


class EarlierWater(BitMaskFile):
    """Water of an earlier image on the grid of the scene; False where that image has no valid pixel."""

    def __init__(self, scene: Scene) -> None:
        super().__init__(scene.grid.height, scene.grid.width)
        self._scene = scene
        self._valid = 0

    def map(self, runtime: Runtime, mapping: MapConfig, thresholds: NDArray[np.float32], progress: bool) -> None:
        """Map the image.

        Args:
            runtime: the model of the scene.
            mapping: settings of the scene.
            thresholds: (4,), probability from which on there is water, by validity code.
            progress: show a bar with the time left.

        Raises:
            DataError: the image has no valid pixel over the scene.
        """

        def keep(strip: ProbabilityStrip) -> None:
            self._valid += int(np.count_nonzero(strip.validity))
            wet = strip.probability >= thresholds[strip.validity]
            self.write(strip.top, (strip.validity != 0) & wet)

        map_scene(self._scene, runtime, mapping, keep, progress=progress)
        if not self._valid:
            raise DataError(
                f"`sar_before={self._names}`: no pixel of it is valid over the scene, so it tells no old water from "
                "new: give an image that shows the place, or leave it out"
            )

    @property
    def assumptions(self) -> list[str]:
        """What was assumed of the image, one sentence each."""
        notes = [
            *self._scene.assumptions,
            "water that the radar image of `sar_before` shows too counts as permanent water",
        ]
        share = self._valid / (self._scene.grid.height * self._scene.grid.width)
        if share < 1:
            notes.append(
                f"{self._names}: covers {share:.1%} of the scene; where it holds nothing, water is taken as flood"
            )
        return notes

    @property
    def _names(self) -> str:
        return " ".join(self._scene.inputs["sar_before"])
