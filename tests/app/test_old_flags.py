"""Tests of flags of earlier versions."""

import pytest

from floodseg.app.old_flags import refuse_old_flags
from floodseg.errors import ConfigError


@pytest.mark.parametrize("flag", ["--write-reliability", "--no_write_reliability", "--write-sensor-weights=true"])
@pytest.mark.parametrize("command", ["predict", "predict-many"])
def test_flags_of_the_sensor_gate_are_refused(command: str, flag: str) -> None:
    with pytest.raises(ConfigError, match=r"was removed: .* share of pixels that each sensor decided; leave it out$"):
        refuse_old_flags([command, flag, "x"])


def test_removed_flags_are_refused_in_their_command_only() -> None:
    with pytest.raises(ConfigError, match=r"^--split-rows was removed: each scene is mapped by one worker, .*; leave"):
        refuse_old_flags(["predict-many", "--split_rows=2"])
    refuse_old_flags(["predict", "--split-rows", "2"])
    refuse_old_flags([])
