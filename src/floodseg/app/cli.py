"""``floodseg COMMAND``: each command parses its flags and calls one public function.

Heavy packages are imported inside the commands, so that ``floodseg --help`` answers at once.
"""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import App, Parameter
from cyclopts.config import Dict

from floodseg.app.guard import guarded
from floodseg.app.removed import refuse_removed
from floodseg.app.run_file import read_run_file
from floodseg.benchmarking.settings import BenchmarkConfig, SceneBenchmarkConfig
from floodseg.config.cluster import ManyConfig
from floodseg.config.download import DownloadConfig
from floodseg.config.evaluate import ScoreConfig
from floodseg.config.predict import PredictConfig
from floodseg.config.train import DataConfig, TrainConfig
from floodseg.errors import ConfigError
from floodseg.models.checkpoint.formats import ExportFormat, ExportPrecision

if TYPE_CHECKING:
    pass

app = App(
    name="floodseg",
    help="Flood maps from Sentinel-1 radar and Sentinel-2 optical imagery with light segmentation models.",
    # a tuple is given as --optical-bands B03 B08; there is nothing to empty or negate
    default_parameter=Parameter(consume_multiple=True, negative_iterable=()),
    # a wrong flag is reported like everything else that the user can mend
    exit_on_error=False,
    print_error=False,
    # or it would exit in silence before guarded() can say that the run was interrupted
    suppress_keyboard_interrupt=False,
)
_FLAT = Parameter(name="*")


@app.command
def train(
    *,
    config: Annotated[TrainConfig, _FLAT] = TrainConfig(),  # noqa: B008 (frozen: cannot be changed between calls)
    resume: bool = False,
    overwrite: bool = False,
) -> None:
    """Train a model: floodseg train [RUN.toml] [flags]. Flags override the run file, whose keys are their names.

    Parameters
    ----------
    resume
        Go on with the run in --out-dir from the end of its last complete epoch.
    overwrite
        Replace the run in --out-dir by a new one.
    """
    import floodseg
    from floodseg.distributed.launcher import disconnect_processes

    floodseg.train(config, resume=resume, overwrite=overwrite)
    disconnect_processes()


@app.command
def evaluate(
    model: str,
    *,
    config: Annotated[DataConfig, _FLAT] = DataConfig(),  # noqa: B008 (frozen: cannot be changed between calls)
    scoring: Annotated[ScoreConfig, _FLAT] = ScoreConfig(),  # noqa: B008 (frozen, too)
    split: str = "valid",
    reference: Path | None = None,
    json_file: Annotated[Path | None, Parameter(name="--json")] = None,
    out_dir: Path | None = None,
) -> None:
    """Score a model on one split of a data set, beside classical baselines; or score a map against a reference.

    floodseg evaluate MODEL --data DIR --layout L --split S scores a model: global counts, and the same per event.
    floodseg evaluate FLOOD.tif --reference FILE scores a map, pixel by pixel. Its classes are decided, so that no
    threshold takes part.

    Parameters
    ----------
    model
        A shipped model's name, a run folder, a checkpoint, or a classical baseline: otsu (radar) or ndwi (optical).
        With --reference a map: flood.tif, or any raster with its codes 0 land, 1 flood, 2 permanent water, 3 excluded
        and 255 nodata; the last two are not counted.
    reference
        A label raster (0 land, 1 water, -1 or 255 ignored; on another grid it is taken at the nearest pixel) or a file
        of polygons (land outside of them). Permanent water of the map counts as water against a raster, and is not
        counted against polygons, which mark the flood alone; where the map has any, both scores are reported.
    split
        train, valid, test, bolivia, ... as the layout has them.
    json_file
        Write the scores as one JSON object.
    out_dir
        Write the reliability diagram, pictures of the worst chips, and the curve over cloud cover there.
    """
    import floodseg
    from floodseg.app.reports.evaluation import print_evaluation, print_map_evaluation
    from floodseg.distributed.launcher import connect_processes, disconnect_processes
    from floodseg.system.files import require_writable, write_text

    if reference is not None:
        _refuse_chip_flags(config, scoring, split, out_dir)
    processes = connect_processes()

    def require_outputs() -> None:
        if json_file is not None:
            require_writable(json_file, "json")
        if out_dir is not None:
            require_writable(out_dir, "out_dir", folder=True)

    processes.from_main(require_outputs)
    if reference is not None:
        scored = floodseg.evaluate(model, reference=reference)
        print_map_evaluation(scored)
        document = scored.document
    else:
        evaluation = floodseg.evaluate(
            model, split=split, config=config, scoring=scoring, out_dir=out_dir, show_progress=True
        )
        disconnect_processes()
        if not processes.main:
            return
        print_evaluation(evaluation)
        document = {**evaluation.document, "references": evaluation.references}
    if json_file is not None:
        write_text(json_file, json.dumps(document, indent=2) + "\n")


def _refuse_chip_flags(config: DataConfig, scoring: ScoreConfig, split: str, out_dir: Path | None) -> None:
    """Raise ConfigError for flags of chips beside --reference, with which they have no effect."""
    given = [
        f"--{name.replace('_', '-')}"
        for settings in (config, scoring)
        for name, value in vars(settings).items()
        if value != getattr(type(settings)(), name)
    ]
    given += ["--split"] if split != "valid" else []
    given += ["--out-dir"] if out_dir is not None else []
    if given:
        raise ConfigError(f"{given[0]}: has no effect on a map with --reference; leave it out")


@app.command
def predict(
    *,
    config: Annotated[PredictConfig, _FLAT] = PredictConfig(),  # noqa: B008 (frozen: cannot be changed between calls)
    model: str = "s1-lite",
    overwrite: bool = False,
) -> None:
    """Map a scene: probability and classes as cloud-optimized GeoTIFFs, polygons, areas, a STAC item and a picture.

    Parameters
    ----------
    model
        A shipped model's name, a run folder, a checkpoint, a file of floodseg export, or a classical baseline: otsu
        (radar) or ndwi (optical).
    overwrite
        Replace finished products in --out-dir; until the new ones are ready, the old ones stay.
    """
    from floodseg.app.reports.map import print_map
    from floodseg.inference.predict import predict as run_prediction

    print_map(run_prediction(config, model, overwrite=overwrite, show_progress=True))


@app.command(name="predict-many")
def predict_many(
    scenes: Path,
    *,
    config: Annotated[ManyConfig, _FLAT] = ManyConfig(),  # noqa: B008 (frozen: cannot be changed between calls)
    model: str = "s1-lite",
    overwrite: bool = False,
) -> None:
    """Map a list of scenes on a cluster: products of each, a STAC collection, an index and mosaics over all.

    Parameters
    ----------
    scenes
        CSV or GeoParquet with columns sar, optical, id and any setting of predict, or a STAC collection on disk.
    model
        A shipped model's name, a run folder or a checkpoint that all workers see.
    overwrite
        Replace products that were made from other files, by another model or with other settings.
    """
    from floodseg.system.extras import require_extra

    require_extra("cluster", "distributed", "pyarrow", purpose="floodseg predict-many")
    from floodseg.app.reports.many import print_many
    from floodseg.cluster.many import predict_many as run_predictions

    print_many(run_predictions(scenes, config, model, overwrite=overwrite, show_progress=True))


@app.command
def export(
    model: str,
    *,
    format: ExportFormat,
    out: Path,
    precision: ExportPrecision = "fp32",
    config: Annotated[DataConfig, _FLAT] = DataConfig(),  # noqa: B008 (frozen: cannot be changed between calls)
    split: str = "valid",
) -> None:
    """Write a model as a file for ONNX Runtime or OpenVINO; refused where its results differ from the model's.

    Parameters
    ----------
    model
        A shipped model's name, a run folder or a checkpoint.
    format
        onnx (one file) or openvino (an .xml with a .bin beside it).
    out
        The file; an older one is replaced.
    precision
        fp32, bf16 (openvino alone) or int8, which is calibrated and scored on the chips of --data.
    split
        The split of --data whose chips are used.
    """
    import floodseg
    from floodseg.app.reports.evaluation import print_export

    gate = floodseg.export(
        model, format=format, out=out, precision=precision, split=split, config=config, show_progress=True
    )
    print_export(out, gate)


@app.command
def demo(*, out_dir: Path = Path("floodseg-demo"), overwrite: bool = False) -> None:
    """Make a small georeferenced scene, map it with s1-lite, write every product and print where.

    Parameters
    ----------
    out_dir
        Folder of the scene (scene/) and of its products (flood/).
    overwrite
        Replace the products of an earlier demonstration.
    """
    from floodseg.app.demo import demonstrate
    from floodseg.app.reports.map import print_map

    print_map(demonstrate(out_dir, overwrite=overwrite, show_progress=True))


@app.command
def models() -> None:
    """List architectures and shipped weights: parameters, size, scores, licence, training data."""
    from floodseg.app.reports.evaluation import print_models

    print_models()


benchmark = App(name="benchmark", help="Measure models side by side on this machine, which should do nothing else.")
app.command(benchmark)


def _require_benchmark() -> None:
    from floodseg.system.extras import require_extra

    require_extra("benchmark", "torch", "timm", purpose="floodseg benchmark")


@benchmark.command(name="train")
def benchmark_train(
    *,
    config: Annotated[BenchmarkConfig, _FLAT] = BenchmarkConfig(),  # noqa: B008 (frozen: cannot be changed)
    json_file: Annotated[Path | None, Parameter(name="--json")] = None,
    compare: Path | None = None,
) -> None:
    """Time training steps and take their peak memory, as ratios to the baseline.

    Parameters
    ----------
    json_file
        Write the result as one JSON object.
    compare
        An older result: ratios that are clearly worse now are named, and the exit code is 2.
    """
    _require_benchmark()
    from floodseg.app.reports.benchmark import report_benchmark

    report_benchmark("train", config, json_file, compare)


@benchmark.command(name="infer")
def benchmark_infer(
    *,
    config: Annotated[BenchmarkConfig, _FLAT] = BenchmarkConfig(),  # noqa: B008 (frozen: cannot be changed)
    json_file: Annotated[Path | None, Parameter(name="--json")] = None,
    compare: Path | None = None,
) -> None:
    """Time calls of each model on one batch, as ratios to the baseline.

    Parameters
    ----------
    json_file
        Write the result as one JSON object.
    compare
        An older result: ratios that are clearly worse now are named, and the exit code is 2.
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
    """Map whole simulated scenes from files to products: throughput, share of each stage, peak memory.

    Parameters
    ----------
    json_file
        Write the result as one JSON object.
    """
    _require_benchmark()
    from floodseg.app.reports.benchmark import report_scenes

    report_scenes(config, json_file)


cache = App(name="cache", help="Decoded chips, kept to be read faster the next time.")
app.command(cache)


@cache.command
def clear() -> None:
    """Remove all decoded chips; runs in progress go on and decode their chips again."""
    from floodseg.chips.cache import cache_folder, clear_cache

    count, size = clear_cache()
    print(f"{cache_folder()}: {count} files removed, {size / 1e6:.1f} MB freed")


data = App(name="data", help="Public data sets.")
app.command(data)


@data.command
def download(dataset: Literal["sen1floods11"], *, config: Annotated[DownloadConfig, _FLAT]) -> None:
    """Fetch the hand-labelled chips of Sen1Floods11; the same command continues after an interruption.

    Parameters
    ----------
    dataset
        Name of the data set; only sen1floods11 can be fetched.
    """
    from floodseg.datasets.download.sen1floods11 import download_sen1floods11

    assert dataset == "sen1floods11"
    print(download_sen1floods11(config, show_progress=True))


def _take_run_file(arguments: list[str]) -> list[str]:
    """Turn ``train RUN.toml`` into ``train`` with the run file as the source of values that no flag gives."""
    app.config = ()
    if len(arguments) < 2 or arguments[0] != "train" or arguments[1].startswith("-"):
        return arguments
    run_file = Path(arguments[1])
    if not run_file.is_file():
        raise ConfigError(f"{run_file}: no such run file; give a TOML file with the names of the flags as keys")
    # below the name of the command, or cyclopts passes over keys that are commands too, such as data
    app.config = (Dict({"train": read_run_file(run_file)}, source=str(run_file)),)
    return ["train", *arguments[2:]]


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit with its code (see :func:`guarded`)."""
    given = sys.argv[1:] if arguments is None else arguments
    # the list of commands holds no Markdown, whose packages take a quarter of the time of floodseg --help
    app.help_format = "plaintext" if len(given) < 2 else "markdown"
    guarded(lambda: app(_take_run_file(refuse_removed(given))))


if __name__ == "__main__":
    main()
