"""Rows of the comparison: the command of each tool that maps a scene, and what the user writes for it."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks.peers.measures import code_lines

SCRIPTS = Path(__file__).parent / "scripts"


@dataclass(frozen=True)
class Row:
    """A tool that maps a scene."""

    name: str
    description: str
    packages: tuple[str, ...]
    """Packages whose versions are reported."""
    script: str | None = None
    """File in the folder of scripts; None for the command line of floodseg."""
    classes: str = "map.tif"
    """File with the classes."""
    is_internal: bool = False
    """True for a script that a user cannot write, because it uses internal functions."""

    @property
    def lines(self) -> int | None:
        """Lines of code that the user writes: 1 for a command; None for an internal script."""
        if self.is_internal:
            return None
        return 1 if self.script is None else code_lines(SCRIPTS / self.script)

    def command(self, python: Mapping[str, Path], scene: Path, weights: Path, folder: Path) -> list[str]:
        """Return the command that maps ``scene`` into ``folder``, with the interpreter of this row."""
        interpreter = str(python.get(self.name, sys.executable))
        if self.script is None:
            return [interpreter, "-m", "floodseg", "predict", "--sar", str(scene), "--out-dir", str(folder)]
        return [interpreter, str(SCRIPTS / self.script), str(scene), str(weights), str(folder)]


ROWS = (
    Row("floodseg", "`floodseg predict` with its own model", ("floodseg", "openvino"), classes="flood.tif"),
    Row(
        "floodseg-unet", "the U-Net in the windows of floodseg", ("floodseg", "torch"), "floodseg_unet.py",
        "flood.tif", is_internal=True,
    ),
    Row(
        "plain", "rasterio, the U-Net, windows without overlap",
        ("rasterio", "segmentation_models_pytorch", "torch"), "plain_unet.py",
    ),
    Row("geoai", "geoai, `predict_geotiff`, the U-Net", ("geoai-py", "torch"), "geoai_unet.py"),
    Row("terratorch", "TerraTorch, `tiled_inference`, the U-Net", ("terratorch", "torch"), "terratorch_unet.py"),
)  # fmt: skip
"""All rows; the first is the one that times are compared with."""
