"""Metadata of an exported file, which mapping needs in addition to the graph. Imports no runtime library."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from floodseg.bands import Bands
from floodseg.errors import CheckpointError
from floodseg.models.checkpoint.formats import ExportPrecision

KEY = "floodseg"
"""Name of the entry in ``metadata_props`` (ONNX) or ``rt_info`` (OpenVINO)."""
FORMAT = "floodseg-exported"
FORMAT_VERSION = 1
EXPORT_MIN_SIDE = 64
"""Minimum height and width in pixels. Exporters treat the axes of a smaller image as constants."""


@dataclass(frozen=True, slots=True)
class ExportMetadata:
    """Metadata of an exported model, stored in its file as JSON."""

    description: dict[str, Any]
    """Description of the checkpoint: architecture, bands, thresholds and temperatures, training, scores."""
    precision: ExportPrecision
    thresholds: tuple[float, float, float, float]
    """Smallest probability that counts as water, by validity code: no sensor (unused), radar, optical, both."""
    overlap: int
    """Overlap of neighbouring windows of a scene, in pixels."""
    multiple: int = 1
    """Height and width must be multiples of this number."""
    gate: dict[str, Any] = field(default_factory=dict)
    """Results of the parity check against the model in PyTorch. The name is that of format 1."""

    @property
    def bands(self) -> Bands:
        """Input bands, in order, and their units."""
        stored = self.description["bands"]
        return Bands(tuple(stored["sar"]), tuple(stored["optical"]), stored["sar_unit"], stored["optical_unit"])

    def to_text(self) -> str:
        """Return the metadata as JSON."""
        return json.dumps({"format": FORMAT, "format_version": FORMAT_VERSION, **asdict(self)})

    @staticmethod
    def from_text(text: str | None, path: Path) -> "ExportMetadata":
        """Parse the JSON from :meth:`to_text`.

        Raises:
            CheckpointError: the file was not written by floodseg, or has another format version.
        """
        try:
            document = json.loads(text or "null")
            version = document.pop("format_version") if document.pop("format") == FORMAT else None
        except (ValueError, TypeError, AttributeError, KeyError) as error:
            raise CheckpointError(f"{path}: has no floodseg metadata; use a file written by floodseg export") from error
        if version != FORMAT_VERSION:
            raise CheckpointError(
                f"{path}: has format version {version}, but this floodseg reads {FORMAT_VERSION}; export the model "
                "again"
            )
        return ExportMetadata(**{**document, "thresholds": tuple(document["thresholds"])})
