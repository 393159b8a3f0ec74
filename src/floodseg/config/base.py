"""Base class, shared types and checks of all settings."""

from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from types import NoneType
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

from cyclopts import CoercionError, Parameter, Token

from floodseg.errors import ConfigError

Layout = Literal["sen1floods11", "ombria", "folders", "synthetic"]
Architecture = Literal["efficient", "baseline", "lite", "spectral"]
Precision = Literal["auto", "fp32", "bf16", "fp16"]
CloudMaskQuality = Literal["perfect", "thin-missed", "none"]
"""Simulated cloud mask: marks clouds and shadows (perfect), opaque clouds only (thin-missed), or nothing (none)."""


def _to_integer(_: type, tokens: Sequence[Token]) -> int:
    try:
        return int(tokens[0].value)
    except ValueError as error:
        raise CoercionError(token=tokens[0], target_type=int) from error


Integer = Annotated[int, Parameter(converter=_to_integer)]
"""Integer on the command line. Fractions are refused; cyclopts would round them."""


def require(condition: bool, setting: str, value: object, rule: str) -> None:
    """Raise ConfigError ("`SETTING=VALUE`: must be RULE") unless the condition is true."""
    if not condition:
        raise ConfigError(f"`{setting}={value}`: must be {rule}")


def require_setting(config: "Settings", needed: str, *names: str) -> None:
    """Raise ConfigError if a setting of ``names``, which has no effect without ``needed``, is set without it."""
    for name in names:
        value = getattr(config, name)
        if not getattr(config, needed) and value != getattr(type(config), name):
            raise ConfigError(f"`{name}={value}`: has no effect without `{needed}`; leave it out, or set `{needed}`")


class Settings:
    """Base class of all settings. It checks integers and choices, and converts strings to paths.

    These checks are for Python callers. The command line converts and checks values itself.

    Raises:
        ConfigError: a value is not an integer where one is required, or is not one of the choices.
    """

    def __post_init__(self) -> None:
        for name, kind in get_type_hints(type(self)).items():
            value, alternatives = getattr(self, name), get_args(kind)
            if value is None and NoneType in alternatives:
                continue
            if isinstance(value, str) and Path in (kind, *alternatives):
                object.__setattr__(self, name, Path(value))
            takes_integer = kind is int or (int in alternatives and get_origin(kind) is not tuple)
            if takes_integer and (isinstance(value, bool) or not isinstance(value, int)):
                raise ConfigError(f"`{name}={value}`: must be an integer")
            for choice in (kind, *alternatives):
                if get_origin(choice) is Literal:
                    allowed = get_args(choice)
                    for single in value if isinstance(value, tuple) else (value,):
                        require(single in allowed, name, single, f"one of {', '.join(allowed)}")


def flatten(config: Any) -> dict[str, Any]:
    """Return a configuration as the flat key-value pairs of a run file. Settings that are None are left out."""
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


def differences(current: Mapping[str, Any], previous: Mapping[str, Any]) -> list[str]:
    """Return key and values of each entry that differs between two flat configurations, as text."""
    return [
        f"`{key}` ({previous.get(key)!r} before, {current.get(key)!r} now)"
        for key in sorted(current.keys() | previous.keys())
        if current.get(key) != previous.get(key)
    ]
