"""Removed flags, with an explanation for users who still pass them."""

from floodseg.errors import ConfigError

_REMOVED = {
    "predict-many": {
        "--split-rows": "each scene is mapped by one worker, and several scenes are mapped at the same time",
    },
}
"""Explanation by command and flag."""


def refuse_removed_flags(arguments: list[str]) -> list[str]:
    """Return the arguments of the command line, or raise ConfigError for a removed flag."""
    removed = _REMOVED.get(arguments[0], {}) if arguments else {}
    for argument in arguments[1:]:
        flag = argument.partition("=")[0].replace("_", "-")
        if flag in removed:
            raise ConfigError(f"{flag} was removed: {removed[flag]}; leave it out")
    return arguments
