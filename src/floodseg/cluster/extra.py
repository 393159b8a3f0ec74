"""Import of optional packages of the extra ``cluster``."""

from importlib import import_module
from typing import Any

from floodseg.system.extras import require_extra


def import_extra(name: str) -> Any:
    """Import a module of the extra and return it.

    Raises:
        ConfigError: the package is not installed.
    """
    require_extra("cluster", name.partition(".")[0], purpose="predict-many")
    return import_module(name)
