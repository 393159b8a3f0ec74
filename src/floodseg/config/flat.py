"""Configurations of nested dataclasses from flat keywords, for Python functions with the settings of a command."""

from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from difflib import get_close_matches
from typing import Any, TypeVar, get_type_hints

from floodseg.errors import ConfigError

_Config = TypeVar("_Config")


def from_flat(kind: type[_Config], settings: Mapping[str, Any]) -> _Config:
    """Return a configuration from the settings of it and of its nested configurations.

    Raises:
        ConfigError: a setting is unknown or invalid.
    """
    known = list(_names(kind))
    for name in settings:
        if name not in known:
            similar = get_close_matches(name, known, n=1) or known
            raise ConfigError(f"`{name}`: is not a setting; did you mean `{similar[0]}`?")
    return _build(kind, settings)


def _groups(kind: type[Any]) -> dict[str, type[Any]]:
    """Return the nested configurations by the name of their field."""
    return {name: hint for name, hint in get_type_hints(kind).items() if is_dataclass(hint) and isinstance(hint, type)}


def _names(kind: type[Any]) -> Iterator[str]:
    groups = _groups(kind)
    for entry in fields(kind):
        yield from _names(groups[entry.name]) if entry.name in groups else (entry.name,)


def _build(kind: type[_Config], settings: Mapping[str, Any]) -> _Config:
    own = [entry.name for entry in fields(kind) if entry.name in settings]  # type: ignore[arg-type]
    nested = {name: _build(group, settings) for name, group in _groups(kind).items()}
    return kind(**{name: settings[name] for name in own}, **nested)
