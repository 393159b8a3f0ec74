"""Water in a radar image from before the flood, mapped with the same model; it counts as permanent water."""

import tempfile

import numpy as np
from numpy.typing import NDArray

from floodseg.config.predict import MapConfig
from floodseg.errors import DataError
from floodseg.geo.grid import Window
from floodseg.inference.context import cropped
from floodseg.inference.windows.map_scene import map_scene
from floodseg.messages import percent
from floodseg.products.strips import ProbabilityStrip
from floodseg.runtimes.base import Runtime
from floodseg.scene.scene import Scene


class BitMaskFile:
    """Mask (H, W) with one bit per pixel in a temporary file.

    Args:
        height: number of rows; rows that are never written are False.
        width: number of columns.
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
        """Write rows (h, W) at row ``top``."""
        self._file.seek(top * self._row_bytes)
        self._file.write(np.packbits(mask, axis=1).tobytes())

    def read(self, top: int, rows: int) -> NDArray[np.bool_]:
        """Return ``rows`` rows from row ``top``, (rows, W)."""
        self._file.seek(top * self._row_bytes)
        packed = np.frombuffer(self._file.read(rows * self._row_bytes), np.uint8)
        return np.unpackbits(packed.reshape(rows, self._row_bytes), axis=1, count=self._width).astype(np.bool_)


class EarlierWater(BitMaskFile):
    """Water mask of the earlier image in an area of the scene; False where that image is invalid.

    Args:
        scene: the earlier image on the grid of the scene.
        area: window of this grid.
    """

    def __init__(self, scene: Scene, area: Window) -> None:
        super().__init__(area.height, area.width)
        self._scene, self._area = scene, area
        self._covered = BitMaskFile(area.height, area.width)
        self._valid = self._mapped = self._common = 0

    def close(self) -> None:
        """Close the files."""
        super().close()
        self._covered.close()

    def map(self, runtime: Runtime, mapping: MapConfig, thresholds: NDArray[np.float32], *, progress: bool) -> None:
        """Map the earlier image.

        Args:
            runtime: the model of the scene.
            mapping: settings of the scene.
            thresholds: (4,), smallest probability that counts as water, by validity code.
            progress: show a progress bar.

        Raises:
            DataError: the image has no valid pixel within the scene.
        """

        def store(strip: ProbabilityStrip) -> None:
            valid = strip.validity != 0
            self._valid += int(np.count_nonzero(valid))
            self._covered.write(strip.top, valid)
            self.write(strip.top, valid & (strip.probability >= thresholds[strip.validity]))

        map_scene(self._scene, runtime, mapping, cropped(store, self._area), progress=progress)
        if not self._valid:
            raise DataError(
                f"`sar_before={self._names}`: has no valid pixel within the scene; set an image that covers the scene, "
                "or leave the setting out"
            )

    def count(self, top: int, mapped: NDArray[np.bool_]) -> None:
        """Count the mapped pixels of rows (h, W) at row ``top``, and those of them that the earlier image covers."""
        self._mapped += int(np.count_nonzero(mapped))
        self._common += int(np.count_nonzero(mapped & self._covered.read(top, len(mapped))))

    @property
    def assumptions(self) -> list[str]:
        """Assumptions about the earlier image, one sentence each."""
        notes = [
            *self._scene.assumptions,
            "water that is also in the radar image of `sar_before` counts as permanent water",
        ]
        if self._common < self._mapped:
            share = percent(self._common / self._mapped)
            notes.append(f"{self._names}: covers {share} of the scene with data; water outside it counts as flood")
        return notes

    @property
    def _names(self) -> str:
        return " ".join(self._scene.inputs["sar_before"])
