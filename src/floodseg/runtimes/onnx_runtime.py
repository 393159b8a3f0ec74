"""ONNX Runtime on a CPU. Does not import PyTorch."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from floodseg.errors import CheckpointError
from floodseg.runtimes.checksum import verify_checksum
from floodseg.runtimes.exported_model import ExportedModel, Feeds
from floodseg.runtimes.metadata import KEY, ExportMetadata


class OnnxRuntime(ExportedModel):
    """An exported ``.onnx`` file (``floodseg.runtimes.base.Runtime``).

    All threads share one session. Each call computes on the calling thread.
    """

    name = "onnx"

    def __init__(self, path: Path, threads: int | None = None) -> None:
        """Open ``path`` for up to ``threads`` windows at the same time; the default is the number of usable cores.

        Raises:
            CheckpointError: the file is damaged, or was not written by ``floodseg export``.
        """
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        if not path.is_file():
            raise CheckpointError(f"{path}: no such file; use a file written by floodseg export")
        verify_checksum(path)
        try:
            self._session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime's errors have no other common base class
            raise CheckpointError(
                f"{path}: cannot be read as an ONNX model ({_first_line(error)}); export it again"
            ) from error
        metadata = ExportMetadata.from_text(self._session.get_modelmeta().custom_metadata_map.get(KEY), path)
        super().__init__(path, metadata, threads)

    def run(self, windows: Sequence[Feeds]) -> list[NDArray[np.float32]]:
        """Return the water probability of each window; see :class:`ExportedModel`."""
        return [self._session.run(None, window)[0] for window in windows]


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
