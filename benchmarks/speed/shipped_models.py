"""CPU time of mapping one scene with each shipped model, relative to ``s1-lite``.

    python -m benchmarks.speed.shipped_models --json FILE

A simulated scene of both sensors is mapped into all products by each shipped model, with the images that it takes, in
its default runtime. The models take turns, and the median of the rounds counts. CPU time is that of the process, in all
threads; it includes reading, warping and writing. The relative times are also written to the file that
``floodseg models`` reads.
"""

import json
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Annotated, Any

from cyclopts import App, Parameter

from benchmarks.report import report
from floodseg.app.exit_codes import run_and_exit
from floodseg.benchmarking.large_scene import LargeScene, write_large_scene
from floodseg.config.predict import MapConfig, PredictConfig, SceneConfig
from floodseg.inference.predict import predict_config
from floodseg.models.checkpoint.zoo import ShippedModel, shipped_models
from floodseg.models.listing import TIMES_FILE
from floodseg.system.files import write_text

app = App(help="CPU time of mapping one scene with each shipped model.")
_REFERENCE = "s1-lite"


@app.default
def times(
    *,
    size: int = 2048,
    rounds: int = 3,
    json_file: Annotated[Path | None, Parameter(name="--json")] = None,
) -> None:
    """Map a scene with each model in turn, and print the times as one JSON object.

    Parameters
    ----------
    size
        Height and width of the scene in pixels.
    rounds
        Number of maps by each model; the median counts.
    json_file
        Write the times as one JSON object.
    """
    models = shipped_models()
    seconds: dict[str, list[dict[str, float]]] = {each.name: [] for each in models}
    with tempfile.TemporaryDirectory(prefix="floodseg-times-") as folder:
        scene = write_large_scene(Path(folder), size, "both")
        for _ in range(rounds):
            for each in models:
                seconds[each.name].append(_map(each, scene, Path(folder) / "flood"))
    cpu = {name: median(run["cpu_seconds"] for run in runs) for name, runs in seconds.items()}
    relative = {name: round(value / cpu[_REFERENCE], 3) for name, value in cpu.items()}
    report({"size": size, "cpu_seconds": cpu, "relative_time": relative, "runs": seconds}, json_file)
    write_text(TIMES_FILE, json.dumps({"reference": _REFERENCE, "relative_time": relative}, indent=2) + "\n")


def _map(model: ShippedModel, scene: LargeScene, out_dir: Path) -> dict[str, Any]:
    bands = model.description["bands"]
    images = SceneConfig(
        sar=scene.sar if bands["sar"] else (),
        optical=scene.optical if bands["optical"] else (),
        grid="sar" if bands["sar"] else "optical",
        datetime="2026-01-01",
    )
    config = PredictConfig(out_dir, images, MapConfig(device="cpu"))
    wall, cpu = time.perf_counter(), time.process_time()
    summary = predict_config(config, model.name, overwrite=True).summary
    return {
        "cpu_seconds": time.process_time() - cpu,
        "wall_seconds": time.perf_counter() - wall,
        "runtime": " ".join((summary["runtime"]["name"], summary["runtime"]["precision"])),
    }


if __name__ == "__main__":
    run_and_exit(app)
