"""What an exported file says of itself: everything that mapping needs beside the graph. Imports no runtime."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from floodseg.bands import Bands
from floodseg.errors import CheckpointError
from floodseg.models.checkpoint.formats import ExportPrecision

KEY = "floodseg"
"""Name of the entry in the file's metadata: of ``metadata_props`` in ONNX, of ``rt_info`` in OpenVINO."""
FORMAT = "floodseg-exported"
FORMAT_VERSION = 1
MINIMUM_SIDE = 64
"""Least height and width: at the coarsest stride a smaller map is a single cell, which exporters take for constant."""


@dataclass(frozen=True, slots=True)
class ExportedFacts:
    """What is known of an exported model beside its graph."""

    description: dict[str, Any]
    """That of the checkpoint: architecture, bands, decisions, training, scores."""
    precision: ExportPrecision
    thresholds: tuple[float, float, float, float]
    """Water from this probability on, by validity code: nothing valid, radar, optical, both."""
    overlap: int
    """Pixels that neighbouring windows of a scene must share."""
    multiple: int = 1
    """What height and width must be multiples of."""
    gate: dict[str, Any] = field(default_factory=dict)
    """How much the file differs from the model in PyTorch, as measured before it was written."""

    @property
    def bands(self) -> Bands:
        """The channels that it takes, in order, and their units."""
        held = self.description["bands"]
        return Bands(tuple(held["sar"]), tuple(held["optical"]), held["sar_unit"], held["optical_unit"])

    def to_text(self) -> str:
        """Return the entry of the file's metadata."""
        return json.dumps({"format": FORMAT, "format_version": FORMAT_VERSION, **asdict(self)})

    @staticmethod
    def from_text(text: str | None, path: Path) -> "ExportedFacts":
        """Read what :meth:`to_text` wrote.

        Raises:
            CheckpointError: the file is not one that floodseg wrote, or one of another version.
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
        return ExportedFacts(**{**document, "thresholds": tuple(document["thresholds"])})
