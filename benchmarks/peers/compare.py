"""floodseg beside other tools on the same scenes: time, memory, seams, files and lines of code.

    python -m benchmarks.peers.compare FOLDER/simulated.tif FOLDER/spain.tif --weights FOLDER/unet.pt \
        --python.geoai GEOAI/bin/python --python.terratorch TERRATORCH/bin/python --json FILE

``benchmarks.peers.prepare`` writes FOLDER. GEOAI and TERRATORCH are virtual environments of these tools, which need not
have floodseg: ``pip install geoai-py segmentation_models_pytorch`` in the one, ``pip install terratorch`` in the other.
``--rows NAME`` remakes one row.

Each row maps each scene in a new process, in turn for some rounds, and the median counts. Then it maps the scene
without its first rows and columns: what changes class is the effect of the position of the windows (``seams``). A
row whose tool is not installed or fails has its error in place of figures. Run it on an idle machine.
"""

import json
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import rasterio
from cyclopts import App, Parameter

from benchmarks.peers.measures import (
    NODATA,
    cut_scene,
    describe_files,
    mapped_nodata_share,
    read_classes,
    seam_share,
)
from benchmarks.peers.process import Run, run_command
from benchmarks.peers.rows import ROWS, Row
from benchmarks.report import report
from floodseg.app.exit_codes import run_and_exit
from floodseg.bands import WATER
from floodseg.errors import ConfigError

app = App(help="Compare floodseg with other tools on the same scenes.")
_VERSIONS = (
    "import importlib.metadata as m, json, sys; print(json.dumps({name: m.version(name) for name in sys.argv[1:]}))"
)


@dataclass(frozen=True)
class Setup:
    """What all rows share."""

    weights: Path
    python: dict[str, Path] = field(default_factory=dict)
    """Interpreter of a row, by its name; by default that of this process."""
    rounds: int = 3


@app.default
def compare(
    *scenes: Path,
    weights: Path,
    rows: Annotated[tuple[str, ...], Parameter(consume_multiple=True)] = tuple(row.name for row in ROWS),
    python: dict[str, Path] | None = None,
    rounds: int = 3,
    json_file: Annotated[Path | None, Parameter(name="--json")] = None,
) -> None:
    """Map each scene with each tool, and print the figures as one JSON object.

    Parameters
    ----------
    scenes
        GeoTIFFs with VV and VH in dB, NaN where invalid.
    weights
        Weights of the U-Net.
    rows
        Names of the rows to make.
    python
        Interpreter in which the tool of a row is installed, such as --python.geoai PATH.
    rounds
        Timed runs of each row.
    json_file
        Write the figures as one JSON object.
    """
    if unknown := set(rows) - {row.name for row in ROWS}:
        names = " ".join(row.name for row in ROWS)
        raise ConfigError(f"--rows {' '.join(sorted(unknown))}: unknown; choose from {names}")
    chosen = [row for row in ROWS if row.name in rows]
    setup = Setup(weights, python or {}, rounds)
    figures = [measure_scene(scene, chosen, setup) for scene in scenes]
    report({"rounds": rounds, "tools": [_tool(row, setup) for row in chosen], "scenes": figures}, json_file)


def measure_scene(scene: Path, rows: Sequence[Row], setup: Setup) -> dict[str, Any]:
    """Return ``name``, ``height``, ``width`` and ``rows`` of a scene, a row for each tool (see ``_figures``)."""
    with tempfile.TemporaryDirectory(prefix="floodseg-peers-") as temporary:
        folder = Path(temporary)
        runs: dict[Row, list[Run]] = {row: [] for row in rows}
        for _ in range(setup.rounds):
            for row, done in runs.items():
                if not (done and done[-1].error):
                    done.append(_map(row, scene, folder / row.name, setup))
        cut = folder / "cut.tif"
        cut_scene(scene, cut)
        figures = [_figures(row, runs[row], (scene, cut), setup, folder) for row in rows]
    with rasterio.open(scene) as file:
        height, width = file.shape
    return {"name": scene.stem, "height": height, "width": width, "rows": figures}


def _map(row: Row, scene: Path, folder: Path, setup: Setup) -> Run:
    """Map a scene into an empty folder."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    run = run_command(row.command(setup.python, scene, setup.weights, folder))
    print(f"{scene.stem}: {row.name}: {run.error or f'{run.seconds:.1f} s'}", file=sys.stderr, flush=True)
    return run


def _figures(row: Row, runs: list[Run], scenes: tuple[Path, Path], setup: Setup, folder: Path) -> dict[str, Any]:
    """Map the cut scene, and return the figures of a row, or its ``error``."""
    scene, cut = scenes
    if error := runs[-1].error or _map(row, cut, folder / f"{row.name}-cut", setup).error:
        return {"row": row.name, "error": error}
    classes = read_classes(folder / row.name / row.classes)
    return {
        "row": row.name,
        "seconds": round(statistics.median(run.seconds for run in runs), 2),
        "seconds_of_rounds": [round(run.seconds, 2) for run in runs],
        "peak_mb": round(max(run.peak_mb for run in runs)),
        "seams": round(seam_share(classes, read_classes(folder / f"{row.name}-cut" / row.classes)), 6),
        "mapped_nodata": mapped_nodata_share(scene, classes),
        "water_share": round(float((classes == WATER).sum() / (classes != NODATA).sum()), 4),
        "files": describe_files(folder / row.name),
    }


def _tool(row: Row, setup: Setup) -> dict[str, Any]:
    """Return the description of a row, the lines of its script and the versions of its packages, or their ``error``."""
    interpreter = str(setup.python.get(row.name, sys.executable))
    found = subprocess.run([interpreter, "-c", _VERSIONS, *row.packages], capture_output=True, text=True, check=False)
    versions = (
        {"versions": json.loads(found.stdout)}
        if found.returncode == 0
        else {"error": found.stderr.strip().split("\n")[-1]}
    )
    return {"row": row.name, "description": row.description, "lines": row.lines, **versions}


if __name__ == "__main__":
    run_and_exit(app)
