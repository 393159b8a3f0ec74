"""The packages of the extra ``cluster``: imported when they are used, and named where they are missing."""

from importlib import import_module
from typing import Any

from floodseg.errors import ConfigError


def _imported(name: str, wanted_for: str) -> Any:
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"{wanted_for} needs the package {name.partition('.')[0]}, which is not installed: "
            "pip install 'floodseg[cluster]'"
        ) from error


def dask_distributed() -> Any:
    """Return the module ``distributed``.

    Raises:
        ConfigError: it is not installed.
    """
    return _imported("distributed", "predict-many")


def pyarrow_parquet() -> Any:
    """Return the module ``pyarrow.parquet``.

    Raises:
        ConfigError: it is not installed.
    """
    return _imported("pyarrow.parquet", "a table in GeoParquet")
