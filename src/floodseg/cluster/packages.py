"""Packages of the extra ``cluster``, imported where they are used."""

from importlib import import_module
from typing import Any

from floodseg.errors import ConfigError


def imported(name: str) -> Any:
    """Return a module of the extra.

    Raises:
        ConfigError: it is not installed.
    """
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"predict-many needs the package {name.partition('.')[0]}, which is not installed: "
            "pip install 'floodseg[cluster]'"
        ) from error
