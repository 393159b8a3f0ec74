"""Metadata of an exported file: all that mapping needs beside the graph. Imports no runtime."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from floodseg.bands import Bands
from floodseg.errors import CheckpointError
from floodseg.models.checkpoint.formats import ExportPrecision

KEY = "floodseg"
"""Name of the entry: of ``metadata_props`` in ONNX, of ``rt_info`` in OpenVINO."""
FORMAT = "floodseg-exported"
FORMAT_VERSION = 1
MINIMUM_SIDE = 64
"""Least height and width in pixels: a smaller map is one cell at the coarsest stride, a constant to exporters."""


@dataclass(frozen=True, slots=True)
class ExportMetadata:
    """Description of an exported model, stored in its file as JSON."""

    description: dict[str, Any]
    """Description of the checkpoint: architecture, bands, decisions, training, scores."""
    precision: ExportPrecision
    thresholds: tuple[float, float, float, float]
    """Water from this probability on, by validity code: nothing valid, radar, optical, both."""
    overlap: int
    """Pixels that neighbouring windows of a scene must share."""
    multiple: int = 1
    """Divisor of height and width."""
    gate: dict[str, Any] = field(default_factory=dict)
    """Figures of the parity check: differences from the model in PyTorch, measured before the file was published."""

    @property
    def bands(self) -> Bands:
        """The channels of the inputs, in order, and their units."""
        stored = self.description["bands"]
        return Bands(tuple(stored["sar"]), tuple(stored["optical"]), stored["sar_unit"], stored["optical_unit"])

    def to_text(self) -> str:
        """Return the entry of the file."""
        return json.dumps({"format": FORMAT, "format_version": FORMAT_VERSION, **asdict(self)})

    @staticmethod
    def from_text(text: str | None, path: Path) -> "ExportMetadata":
        """Read what :meth:`to_text` wrote.

        Raises:
            CheckpointError: the file was not written by floodseg, or has another format version.
        """
        try:
            document = json.loads(text or "null")
            version = document.pop("format_version") if document.pop("format") == FORMAT else None
        except (ValueError, TypeError, AttributeError, KeyError) as error:
            raise CheckpointError(
                f"{path}: does not say what its channels are; only files written by floodseg export can be used"
            ) from error
        if version != FORMAT_VERSION:
            raise CheckpointError(
                f"{path}: has format version {version}, this floodseg reads {FORMAT_VERSION}; export the model again"
            )
        return ExportMetadata(**{**document, "thresholds": tuple(document["thresholds"])})
