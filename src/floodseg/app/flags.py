"""Conversion of settings in messages to command-line flags."""

import re

_SETTING = re.compile(r"`([a-z][a-z0-9_]*)(?:=([^`]*))?`")


def as_flags(message: str) -> str:
    """Return a library message with its settings written as flags: "`tile_size=64`" becomes "--tile-size 64"."""

    def flag(match: re.Match[str]) -> str:
        name, value = match.groups()
        return f"--{name.replace('_', '-')}" + (f" {value}" if value else "")

    return _SETTING.sub(flag, message)
