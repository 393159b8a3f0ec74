"""Packages of the extra ``cluster``, imported where they are used."""

from importlib import import_module
from typing import Any

from floodseg.system.extras import require_extra


def import_extra(name: str) -> Any:
    """Return a module of the extra.

    Raises:
        ConfigError: it is not installed.
    """
    require_extra("cluster", name.partition(".")[0], purpose="predict-many")
    return import_module(name)
