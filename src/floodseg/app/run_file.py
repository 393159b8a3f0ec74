"""Run files of ``floodseg train``."""

import tomllib
from pathlib import Path
from typing import Any

from floodseg.config.train import text_settings
from floodseg.errors import ConfigError


def read_run_file(path: Path) -> dict[str, Any]:
    """Return the settings of a TOML run file, or refuse keys and values that no flag has."""
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ConfigError(f"{path}: is not a TOML file ({error}); write one setting a line: batch_size = 4") from error
    for key, value in document.items():
        if key in ("resume", "overwrite"):
            raise ConfigError(f"{path}: key '{key}' says how a run is started, not what it is; give it as --{key}")
        # cyclopts takes no-flips = true for flips = true
        if key.replace("_", "-").startswith("no-"):
            raise ConfigError(f"{path}: unknown key '{key}'; keys are the flags of floodseg train without their dashes")
        # cyclopts would take true for the word "True", and an empty path for the folder that one is in
        if key.replace("-", "_") in text_settings() and not (
            isinstance(value, dict) or (isinstance(value, str) and value)
        ):
            raise ConfigError(f"{path}: {key} = {value!r} is not a word or a path; write it in quotation marks")
    return document
