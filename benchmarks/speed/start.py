"""Seconds of a complete ``floodseg predict`` of 512x512 pixels with an exported model.

    python -m benchmarks.speed.start --json FILE

The shipped `s1-lite` is exported to OpenVINO and ONNX, and maps a simulated radar scene into all products. An untimed
run comes first, so that files are cached.
"""

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

import floodseg
from benchmarks.report import report
from floodseg.app.exit_codes import run_and_exit
from floodseg.benchmarking.large_scene import write_large_scene
from floodseg.models.checkpoint.formats import SUFFIXES, ExportFormat, ExportPrecision

app = App(help="Seconds of a complete `floodseg predict` of a small scene.")
_SIZE = 512
_FORMATS: tuple[tuple[ExportFormat, ExportPrecision], ...] = (
    ("openvino", "fp32"),
    ("openvino", "bf16"),
    ("onnx", "fp32"),
)


@app.default
def start(*, runs: int = 5, json_file: Annotated[Path | None, Parameter(name="--json")] = None) -> None:
    """Time the command for each exported file.

    Parameters
    ----------
    runs
        Timed runs of each file; the median counts.
    json_file
        Write the result as one JSON object.
    """
    seconds = {}
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        scene = write_large_scene(root, _SIZE, "sar").sar[0]
        for format, precision in _FORMATS:
            model = root / f"{precision}{SUFFIXES[format]}"
            floodseg.export("s1-lite", format=format, precision=precision, out=model)
            command = [
                sys.executable, "-m", "floodseg", "predict", "--sar", str(scene), "--model", str(model),
                "--datetime", "2024-01-05", "--out-dir", str(root / "out"), "--overwrite",
            ]  # fmt: skip
            seconds[f"{format} {precision}"] = [_seconds(command) for _ in range(runs + 1)][1:]
    report(
        {
            "size": _SIZE,
            "median_s": {name: statistics.median(values) for name, values in seconds.items()},
            "seconds": seconds,
        },
        json_file,
    )


def _seconds(command: list[str]) -> float:
    began = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - began


if __name__ == "__main__":
    run_and_exit(app)
