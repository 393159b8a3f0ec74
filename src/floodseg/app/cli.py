"""Commands of ``floodseg``.

Heavy packages are imported inside the commands, so that ``floodseg --help`` is fast.
"""

import json
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import App, Parameter
from cyclopts.config import Dict

from floodseg.app.app_command import add_app_command
from floodseg.app.benchmark_commands import benchmark
from floodseg.app.depth_command import add_depth_command
from floodseg.app.evaluate_command import evaluate
from floodseg.app.exit_codes import run_and_exit
from floodseg.app.exposure_command import add_exposure_command
from floodseg.app.old_flags import refuse_old_flags
from floodseg.app.place_commands import add_place_commands
from floodseg.app.run_file import RUN_FILE_KEYS, read_run_file
from floodseg.app.series_command import add_series_command
from floodseg.config.cluster import ManyConfig
from floodseg.config.download import DownloadConfig
from floodseg.config.export import ExportDataConfig
from floodseg.config.predict import PredictConfig
from floodseg.config.train import TrainConfig
from floodseg.errors import ConfigError
from floodseg.models.checkpoint.formats import ExportFormat, ExportPrecision


def _shown_default(value: Any) -> str | None:
    """Return a default as a user would type it; None if there is none."""
    if isinstance(value, tuple):
        return " ".join(map(str, value)) or None
    return None if value is None else str(value)


app = App(
    name="floodseg",
    help="Flood maps from Sentinel-1 radar and Sentinel-2 optical imagery with lightweight segmentation models.",
    # several values follow one flag (--optical-bands B03 B08); there are no flags --empty-optical-bands
    default_parameter=Parameter(consume_multiple=True, negative_iterable=(), show_default=_shown_default),
    # run_and_exit() reports errors and interruptions
    exit_on_error=False,
    print_error=False,
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
    """Train a model.

    With a run file: floodseg train RUN.toml [OPTIONS]. A run file is a TOML file whose keys are the names of the
    options, with _ for -, such as batch_size. Options on the command line take precedence.

    Parameters
    ----------
    resume
        Continue the run in --out-dir after its last complete epoch.
    overwrite
        Replace the run in --out-dir with a new one.
    """
    import floodseg
    from floodseg.distributed.launcher import disconnect_processes

    floodseg.train(config, resume=resume, overwrite=overwrite)
    disconnect_processes()


app.command(evaluate)


@app.command
def predict(
    *,
    config: Annotated[PredictConfig, _FLAT] = PredictConfig(),  # noqa: B008 (frozen: cannot be changed between calls)
    model: str = "auto",
    overwrite: bool = False,
) -> None:
    """Map the flood in a scene and write GeoTIFFs, polygons, areas, a STAC item and a picture.

    Parameters
    ----------
    model
        Shipped model, run folder, checkpoint, exported file, or classical baseline: otsu (radar) or ndwi (optical).
        auto takes s1-efficient for a radar image, s2 for an optical image, and s1s2 for both.
    overwrite
        Replace finished products in --out-dir when the new ones are complete.
    """
    from floodseg.app.reports.map import print_map
    from floodseg.inference.predict import predict_config

    print_map(predict_config(config, model, overwrite=overwrite, show_progress=True))


@app.command(name="predict-many")
def predict_many(
    scenes: Path,
    *,
    config: Annotated[ManyConfig, _FLAT] = ManyConfig(),  # noqa: B008 (frozen: cannot be changed between calls)
    model: str = "auto",
    overwrite: bool = False,
) -> None:
    """Map many scenes on this machine or a Dask cluster.

    Each scene has its own products. A STAC collection, an index and mosaics cover all scenes. Settings in the list of
    scenes take precedence over the flags.

    Parameters
    ----------
    scenes
        List of scenes: a CSV or GeoParquet file with columns id, sar, optical and other settings of floodseg predict,
        or a STAC collection on disk.
    model
        Shipped model, classical baseline (otsu or ndwi), or a run folder, checkpoint or exported file that all workers
        can read. auto takes one model for all scenes: s1-efficient if the list has only radar images, s2 if it has
        only optical images, else s1s2.
    overwrite
        Replace products that were made from other files, with another model or with other settings.
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
    config: Annotated[ExportDataConfig, _FLAT] = ExportDataConfig(),  # noqa: B008 (frozen: cannot be changed)
    split: str = "valid",
) -> None:
    """Export a model for ONNX Runtime or OpenVINO, and check that the exported model agrees with the one in PyTorch.

    Parameters
    ----------
    model
        Shipped model, run folder or checkpoint.
    format
        onnx (one file) or openvino (an .xml file and a .bin file).
    out
        File to write. An existing file is replaced.
    precision
        fp32, bf16 (openvino only) or int8. int8 is calibrated and scored on the chips of --data.
    split
        Split of the data set on which an int8 model is calibrated and scored.
    """
    import floodseg
    from floodseg.app.reports.models import print_export

    parity = floodseg.export(
        model, format=format, out=out, precision=precision, split=split, config=config, show_progress=True
    )
    print_export(out, parity)


@app.command
def demo(*, out_dir: Path = Path("floodseg-demo"), overwrite: bool = False) -> None:
    """Simulate a small scene, map it and write all products.

    Parameters
    ----------
    out_dir
        Folder for the scene (subfolder scene) and its products (subfolder flood).
    overwrite
        Replace the products of an earlier demo.
    """
    from floodseg.app.demo import run_demo
    from floodseg.app.reports.map import print_map

    print_map(run_demo(out_dir, overwrite=overwrite, show_progress=True))


@app.command
def models(*, json_format: Annotated[bool, Parameter(name="--json")] = False) -> None:
    """List architectures and shipped models with sensors, bands, size, scores, mapping time, licence and training data.

    Parameters
    ----------
    json_format
        Print one JSON object.
    """
    import floodseg
    from floodseg.app.reports.models import print_models

    listing = floodseg.list_models()
    if json_format:
        print(json.dumps(listing, indent=2))
    else:
        print_models(listing)


app.command(benchmark)
add_place_commands(app)
add_exposure_command(app)
add_series_command(app)
add_depth_command(app)
add_app_command(app)

cache = App(name="cache", help="Manage the cache of decoded chips.")
app.command(cache)


@cache.command
def clear() -> None:
    """Remove all decoded chips from the cache.

    This is safe while models are being trained: they decode their chips again.
    """
    from floodseg.chips.cache import cache_folder, clear_cache

    count, size = clear_cache()
    print(f"{cache_folder()}: {count} files removed, {size / 1e6:.1f} MB freed")


data = App(name="data", help="Download public data sets.")
app.command(data)


@data.command
def download(dataset: Literal["sen1floods11"], *, config: Annotated[DownloadConfig, _FLAT]) -> None:
    """Download the hand-labelled chips of Sen1Floods11.

    After an interruption the same command continues the download.

    Parameters
    ----------
    dataset
        Name of the data set: sen1floods11.
    """
    from floodseg.datasets.download.sen1floods11 import download_sen1floods11

    assert dataset == "sen1floods11"
    print(download_sen1floods11(config, show_progress=True))


def _take_run_file(arguments: list[str]) -> list[str]:
    """Remove the run file from the arguments of ``train``; its values become the defaults of the flags."""
    app.config = ()
    if len(arguments) < 2 or arguments[0] != "train" or arguments[1].startswith("-"):
        return arguments
    run_file = Path(arguments[1])
    if not run_file.is_file():
        raise ConfigError(f"{run_file}: no such run file; use a TOML file whose {RUN_FILE_KEYS}")
    # nested below "train", since cyclopts ignores top-level keys that are also commands, such as data
    app.config = (Dict({"train": read_run_file(run_file)}, source=str(run_file)),)
    return ["train", *arguments[2:]]


def _run(arguments: list[str]) -> None:
    refuse_old_flags(arguments)
    app(_take_run_file(arguments))


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit; see :func:`run_and_exit` for the exit codes."""
    if arguments is None:
        arguments = sys.argv[1:]
    # the list of commands has no Markdown; importing its packages would take a quarter of the time of floodseg --help
    app.help_format = "plaintext" if len(arguments) < 2 else "markdown"
    run_and_exit(lambda: _run(arguments))


if __name__ == "__main__":
    main()
