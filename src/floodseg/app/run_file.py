"""Reader of the TOML run files of ``floodseg train``."""

import tomllib
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

from floodseg.config.data import DataConfig
from floodseg.config.train import AugmentConfig, DistilConfig, ModelConfig, OptimConfig, TrainConfig
from floodseg.errors import ConfigError

RUN_FILE_KEYS = "keys are the names of the options of floodseg train, with _ for -, such as batch_size"


def read_run_file(path: Path) -> dict[str, Any]:
    """Return the settings of a run file.

    Raises:
        ConfigError: the file is not TOML, or a key or value is not allowed.
    """
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ConfigError(
            f"{path}: is not a TOML file ({error}); write one setting per line, such as batch_size = 4"
        ) from error
    for key, value in document.items():
        if key in ("resume", "overwrite"):
            raise ConfigError(f"{path}: key '{key}' is not allowed in a run file; use the flag --{key}")
        # cyclopts would read no-flips = true as flips = true
        if key.replace("_", "-").startswith("no-"):
            raise ConfigError(f"{path}: unknown key '{key}'; {RUN_FILE_KEYS}")
        # cyclopts would read true as the string "True", and an empty path as the working directory
        if key.replace("-", "_") in _text_settings() and not (
            isinstance(value, dict) or (isinstance(value, str) and value)
        ):
            raise ConfigError(f"{path}: {key} = {value!r} must be a non-empty string; write it in quotation marks")
    return document


def _text_settings() -> frozenset[str]:
    """Return the names of the settings whose values are strings or paths."""
    groups = (DataConfig, ModelConfig, AugmentConfig, OptimConfig, DistilConfig, TrainConfig)
    hints = (item for group in groups for item in get_type_hints(group).items())
    return frozenset(
        name for name, kind in hints if get_origin(kind) is not tuple and {kind, *get_args(kind)} & {str, Path}
    )
