"""File formats and precisions of exported models."""

from pathlib import Path
from typing import Literal

ExportFormat = Literal["onnx", "openvino"]
ExportPrecision = Literal["fp32", "bf16", "int8"]
SUFFIXES: dict[ExportFormat, str] = {"onnx": ".onnx", "openvino": ".xml"}


def is_exported(path: Path) -> bool:
    """Return True if a path has the suffix of an exported model."""
    return path.suffix in SUFFIXES.values()
