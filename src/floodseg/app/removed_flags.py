"""Flags that are gone: what replaces them, or why there is nothing to replace."""

from floodseg.errors import ConfigError

_REMOVED = {
    "predict-many": {
        "--split-rows": "one scene is one task now: leave it out; several scenes are mapped at the same time",
    },
}
"""One sentence by command and flag."""


def refuse_removed_flags(arguments: list[str]) -> list[str]:
    """Return the arguments of the command line, or raise ConfigError where they hold a flag that is gone."""
    removed = _REMOVED.get(arguments[0], {}) if arguments else {}
    for argument in arguments[1:]:
        flag = argument.partition("=")[0].replace("_", "-")
        if flag in removed:
            raise ConfigError(f"{flag} is gone: {removed[flag]}")
    return arguments
