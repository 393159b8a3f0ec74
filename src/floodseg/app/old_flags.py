"""Flags of earlier versions: renamed flags still work, removed flags are explained."""

from floodseg.errors import ConfigError

_RENAMED = {
    "--write-reliability": "--write-sensor-weights",
    "--no-write-reliability": "--no-write-sensor-weights",
}
"""Present name by former name; the help shows only the present one."""
_REMOVED = {
    "predict-many": {
        "--split-rows": "each scene is mapped by one worker, and several scenes are mapped at the same time",
    },
}
"""Explanation by command and flag."""


def replace_old_flags(arguments: list[str]) -> list[str]:
    """Return the arguments of the command line with the present names of renamed flags.

    Raises:
        ConfigError: a flag was removed.
    """
    removed = _REMOVED.get(arguments[0], {}) if arguments else {}
    current = arguments[:1]
    for argument in arguments[1:]:
        name, *value = argument.split("=", 1)
        flag = name.replace("_", "-")
        if flag in removed:
            raise ConfigError(f"{flag} was removed: {removed[flag]}; leave it out")
        current.append("=".join([_RENAMED.get(flag, name), *value]))
    return current
