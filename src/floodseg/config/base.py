"""Base class and checks of all settings."""

from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from types import NoneType
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

from cyclopts import CoercionError, Parameter, Token

from floodseg.errors import ConfigError

Layout = Literal["sen1floods11", "ombria", "folders", "synthetic"]


Architecture = Literal["efficient", "baseline", "lite"]


Precision = Literal["auto", "fp32", "bf16", "fp16"]


CloudMask = Literal["perfect", "thin-missed", "none"]
"""Part of the simulated clouds that a mask marks: clouds and shadows, opaque cloud only, or nothing."""


def _to_integer(_: type, tokens: Sequence[Token]) -> int:
    try:
        return int(tokens[0].value)
    except ValueError as error:
        raise CoercionError(token=tokens[0], target_type=int) from error


WholeNumber = Annotated[int, Parameter(converter=_to_integer)]
"""An integer that refuses 2.5, which cyclopts would round."""


def require(holds: bool, flag: str, given: object, rule: str) -> None:
    """Raise ConfigError ("must be RULE") unless the condition holds."""
    if not holds:
        raise ConfigError(f"`{flag}={given}`: must be {rule}")


class Settings:
    """Base class of all settings: checks integers and choices, and converts strings to paths.

    The command line checks types itself; this class does it for Python callers.

    Raises:
        ConfigError: a value that is no integer where one is needed, or is not among the choices.
    """

    def __post_init__(self) -> None:
        for name, kind in get_type_hints(type(self)).items():
            value, alternatives = getattr(self, name), get_args(kind)
            if value is None and NoneType in alternatives:
                continue
            if isinstance(value, str) and Path in (kind, *alternatives):
                object.__setattr__(self, name, Path(value))
            if kind is int and (isinstance(value, bool) or not isinstance(value, int)):
                raise ConfigError(f"`{name}={value}`: must be a whole number")
            for choice in (kind, *alternatives):
                if get_origin(choice) is Literal:
                    allowed = get_args(choice)
                    require(value in allowed, name, value, f"one of {', '.join(allowed)}")


def flatten(config: Any) -> dict[str, Any]:
    """Return a configuration as flat key-value pairs of a run file, without settings that are None."""
    flat: dict[str, Any] = {}
    for entry in fields(config):
        value = getattr(config, entry.name)
        if is_dataclass(value):
            flat.update(flatten(value))
        elif isinstance(value, Path):
            flat[entry.name] = str(value)
        elif isinstance(value, tuple):
            flat[entry.name] = list(value)
        elif value is not None:
            flat[entry.name] = value
    return flat


def differences(given: Mapping[str, Any], kept: Mapping[str, Any]) -> list[str]:
    """Return one line per key in which two flat configurations differ."""
    return [
        f"`{key}`: {kept.get(key)!r} before, {given.get(key)!r} now"
        for key in sorted(given.keys() | kept.keys())
        if given.get(key) != kept.get(key)
    ]
