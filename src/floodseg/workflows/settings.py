"""Settings of the functions ``floodseg.fetch`` and ``floodseg.map_place``, as flat keywords."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, TypeVar

from floodseg.catalog.search import build_search
from floodseg.config.fetch import FetchConfig, MapPlaceConfig, ReadConfig
from floodseg.config.predict import MapConfig

_GROUPS = {"reading": ReadConfig, "mapping": MapConfig}
_Config = TypeVar("_Config", FetchConfig, MapPlaceConfig)


def build_config(kind: type[_Config], settings: Mapping[str, Any]) -> _Config:
    """Return a configuration from flat settings. Those that are no fields of it are passed to its search.

    Raises:
        ConfigError: a setting is unknown or invalid.
    """
    rest, nested = dict(settings), {}
    own = [entry.name for entry in fields(kind)]
    for name in own:
        if name in _GROUPS:
            group = _GROUPS[name]
            nested[name] = group(**{entry.name: rest.pop(entry.name) for entry in fields(group) if entry.name in rest})
    values = {name: rest.pop(name) for name in own if name in rest and name not in (*_GROUPS, "search")}
    return kind(search=build_search(rest), **values, **nested)
