"""One bit per pixel on disk, for as long as a scene is mapped."""

import tempfile

import numpy as np
from numpy.typing import NDArray


class WaterBits:
    """A mask of H rows and W columns in a nameless temporary file, which vanishes with the process however that ends.

    Args:
        height: rows; those never written are False.
        width: columns.
    """

    def __init__(self, height: int, width: int) -> None:
        self._width = width
        self._row_bytes = -(-width // 8)
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 (lives until close)
        self._file.truncate(height * self._row_bytes)

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()

    def write(self, top: int, mask: NDArray[np.bool_]) -> None:
        """Keep rows (h, W) from row ``top`` on."""
        self._file.seek(top * self._row_bytes)
        self._file.write(np.packbits(mask, axis=1).tobytes())

    def read(self, top: int, rows: int) -> NDArray[np.bool_]:
        """Return rows (h, W) from row ``top`` on."""
        self._file.seek(top * self._row_bytes)
        packed = np.frombuffer(self._file.read(rows * self._row_bytes), np.uint8)
        return np.unpackbits(packed.reshape(rows, self._row_bytes), axis=1, count=self._width).astype(np.bool_)
