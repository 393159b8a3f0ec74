"""Commands of ``floodseg benchmark``."""

from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from floodseg.benchmarking.settings import InferenceBenchmarkConfig, SceneBenchmarkConfig, TrainingBenchmarkConfig

_FLAT = Parameter(name="*")

benchmark = App(
    name="benchmark", help="Measure speed and memory of models on this machine, which should be otherwise idle."
)


def _require_benchmark() -> None:
    from floodseg.system.extras import require_extra

    require_extra("benchmark", "torch", "timm", purpose="floodseg benchmark")


@benchmark.command(name="train")
def benchmark_train(
    *,
    config: Annotated[TrainingBenchmarkConfig, _FLAT] = TrainingBenchmarkConfig(),  # noqa: B008 (frozen: cannot be changed)
    json_file: Annotated[Path | None, Parameter(name="--json")] = None,
    compare: Path | None = None,
) -> None:
    """Measure duration and peak memory of training steps, relative to the architecture 'baseline'.

    Parameters
    ----------
    json_file
        Write the result to this JSON file.
    compare
        JSON file of an earlier result. If a ratio is worse by more than 15 %, it is printed and the exit code is 2.
    """
    _require_benchmark()
    from floodseg.app.reports.benchmark import report_benchmark

    report_benchmark("train", config, json_file, compare)


@benchmark.command(name="infer")
def benchmark_infer(
    *,
    config: Annotated[InferenceBenchmarkConfig, _FLAT] = InferenceBenchmarkConfig(),  # noqa: B008 (frozen: cannot be changed)
    json_file: Annotated[Path | None, Parameter(name="--json")] = None,
    compare: Path | None = None,
) -> None:
    """Measure duration and peak memory of inference on one batch, relative to the architecture 'baseline'.

    Parameters
    ----------
    json_file
        Write the result to this JSON file.
    compare
        JSON file of an earlier result. If a ratio is worse by more than 15 %, it is printed and the exit code is 2.
    """
    _require_benchmark()
    from floodseg.app.reports.benchmark import report_benchmark

    report_benchmark("infer", config, json_file, compare)


@benchmark.command(name="scene")
def benchmark_scene(
    *,
    config: Annotated[SceneBenchmarkConfig, _FLAT] = SceneBenchmarkConfig(),  # noqa: B008 (frozen: cannot be changed)
    json_file: Annotated[Path | None, Parameter(name="--json")] = None,
) -> None:
    """Measure throughput and peak memory of mapping simulated scenes, from files to products.

    Parameters
    ----------
    json_file
        Write the result to this JSON file.
    """
    _require_benchmark()
    from floodseg.app.reports.benchmark import report_scenes

    report_scenes(config, json_file)
