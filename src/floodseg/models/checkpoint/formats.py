"""File formats and precisions of exported models."""

from pathlib import Path
from typing import Literal

ExportFormat = Literal["onnx", "openvino"]
ExportPrecision = Literal["fp32", "bf16", "int8"]
SUFFIXES: dict[ExportFormat, str] = {"onnx": ".onnx", "openvino": ".xml"}


def is_exported(path: Path) -> bool:
    """Return True if a path has the suffix of an exported model."""
    return path.suffix in SUFFIXES.values()


def exported_mb(path: Path) -> float:
    """Return the size of an exported file in megabytes, with the ``.bin`` of an OpenVINO model."""
    return sum(part.stat().st_size for part in (path, path.with_suffix(".bin")) if part.is_file()) / 1e6
