"""Flags of earlier versions: removed flags are explained."""

from floodseg.errors import ConfigError

_SENSOR_WEIGHTS = {
    f"--{prefix}write-{name}": "summary.json holds the share of pixels that each sensor decided"
    for prefix in ("", "no-")
    for name in ("sensor-weights", "reliability")
}
_REMOVED = {
    "predict": _SENSOR_WEIGHTS,
    "predict-many": {
        **_SENSOR_WEIGHTS,
        "--split-rows": "each scene is mapped by one worker, and several scenes are mapped at the same time",
    },
}
"""Explanation by command and flag."""


def refuse_old_flags(arguments: list[str]) -> None:
    """Refuse removed flags on the command line.

    Raises:
        ConfigError: a flag was removed.
    """
    removed = _REMOVED.get(arguments[0], {}) if arguments else {}
    for argument in arguments[1:]:
        flag = argument.partition("=")[0].replace("_", "-")
        if flag in removed:
            raise ConfigError(f"{flag} was removed: {removed[flag]}; leave it out")
