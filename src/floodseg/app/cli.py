"""``floodseg COMMAND``: each command parses its flags and calls one public function.

Heavy packages are imported inside the commands, so that ``floodseg --help`` answers at once.
"""

import errno
import json
import logging
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, CycloptsError, Parameter
from cyclopts.config import Dict

from floodseg.config import DataConfig, TrainConfig
from floodseg.errors import ConfigError, FloodsegError

app = App(
    name="floodseg",
    help="Flood maps from Sentinel-1 radar and Sentinel-2 optical imagery with light segmentation models.",
    # a tuple is given as --optical-bands B03 B08; there is nothing to empty or negate
    default_parameter=Parameter(consume_multiple=True, negative_iterable=()),
    # a wrong flag is reported like everything else that the user can mend
    exit_on_error=False,
    print_error=False,
)
_FLAT = Parameter(name="*")
_MENDABLE = (
    errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS,
    errno.EISDIR, errno.ENOTDIR, errno.EEXIST, errno.ENAMETOOLONG,
)  # fmt: skip
"""What the system says of an output path that the user chose badly: no room, no permission, no such kind of place."""


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
        Start anew in a folder that holds a run.
    """
    from floodseg.learning.train import train as run_training

    run_training(config, resume=resume, overwrite=overwrite)


@app.command
def evaluate(
    model: str,
    *,
    config: Annotated[DataConfig, _FLAT] = DataConfig(),  # noqa: B008 (frozen: cannot be changed between calls)
    split: str = "valid",
    json_file: Annotated[Path | None, Parameter(name="--json")] = None,
    out_dir: Path | None = None,
) -> None:
    """Score a model on one split: global counts, per event, beside the reference methods that the bands allow.

    Parameters
    ----------
    model
        A shipped model's name, a run folder, a checkpoint, or a reference method: otsu (radar) or ndwi (optical).
    split
        train, valid, test, bolivia, ... as the layout has them.
    json_file
        Write the scores as one JSON object.
    out_dir
        Write the reliability diagram and pictures of the worst chips there.
    """
    from floodseg.app.tables import print_evaluation
    from floodseg.files import write_text
    from floodseg.learning.evaluate import evaluate as run_evaluation
    from floodseg.learning.references import REFERENCES
    from floodseg.release.shipped import load_model

    method = model if model in REFERENCES else load_model(model)
    evaluation = run_evaluation(method, split=split, config=config, name=model, out_dir=out_dir, show_progress=True)
    print_evaluation(evaluation)
    if json_file is not None:
        write_text(json_file, json.dumps({**evaluation.document, "references": evaluation.references}, indent=2) + "\n")


@app.command
def models() -> None:
    """List architectures and shipped weights: parameters, size, scores, licence, training data."""
    from floodseg.app.tables import print_models

    print_models()


cache = App(name="cache", help="Decoded chips, which are kept so that they are read faster the next time.")
app.command(cache)


@cache.command
def clear() -> None:
    """Remove all decoded chips; runs in progress go on, and decode their chips anew."""
    from floodseg.data.cache_folder import cache_folder, clear_cache

    count, size = clear_cache()
    print(f"{cache_folder()}: {count} files removed, {size / 1e6:.1f} MB freed")


def _take_run_file(arguments: list[str]) -> list[str]:
    """Turn ``train RUN.toml`` into ``train`` with the run file as the source of values that no flag gives."""
    app.config = ()
    if len(arguments) < 2 or arguments[0] != "train" or arguments[1].startswith("-"):
        return arguments
    run_file = Path(arguments[1])
    if not run_file.is_file():
        raise ConfigError(f"{run_file}: no such run file; give a TOML file with the names of the flags as keys")
    app.config = (Dict(_read_run_file(run_file), source=str(run_file), use_commands_as_keys=False),)
    return ["train", *arguments[2:]]


def _read_run_file(path: Path) -> dict[str, Any]:
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: is not a TOML file ({error}); write one setting a line: batch_size = 4") from error
    for key in document:
        if key in ("resume", "overwrite"):
            raise ConfigError(f"{path}: key '{key}' says how a run is started, not what it is; give it as --{key}")
        # cyclopts passes over keys that are the names of commands ("models" is one letter from "model"), and takes
        # no-flips = true for flips = true
        if key in app or key.replace("_", "-").startswith("no-"):
            raise ConfigError(f"{path}: unknown key '{key}'; keys are the flags of floodseg train without their dashes")
    return document


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit with its code (see :func:`guarded`)."""
    given = sys.argv[1:] if arguments is None else arguments
    guarded(lambda: app(_take_run_file(given)))


def guarded(command: Callable[[], Any]) -> None:
    """Run a command and exit: 0 done, 2 what the user can mend (one sentence, no traceback), 130 interrupted.

    Anything else is a defect of ours: it keeps its traceback and exits with 1.
    """
    logging.basicConfig(format="floodseg: %(levelname)s: %(message)s", stream=sys.stderr)
    logging.getLogger("floodseg").setLevel(logging.INFO)
    try:
        command()
    except FloodsegError as error:
        _fail(str(error), error.exit_code)
    except CycloptsError as error:
        _fail(f"{' '.join(str(error).split())} See --help for the flags.", 2)
    except KeyboardInterrupt:
        _fail("interrupted", 130)
    except OSError as error:
        if error.errno not in _MENDABLE:
            raise
        # a rename fails on its target, the second name
        place = error.filename2 or error.filename or "output"
        _fail(f"{place}: {error.strerror}; free space, change permissions or choose another path", 2)
    sys.exit(0)


def _fail(message: str, code: int) -> None:
    print(f"floodseg: error: {message}", file=sys.stderr)
    sys.exit(code)


if __name__ == "__main__":
    main()
