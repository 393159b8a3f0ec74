"""Tests of flags of earlier versions."""

import pytest

from floodseg.app.old_flags import replace_old_flags
from floodseg.errors import ConfigError


@pytest.mark.parametrize(
    ("typed", "current"),
    [
        ("--write-reliability", "--write-sensor-weights"),
        ("--no_write_reliability", "--no-write-sensor-weights"),
        ("--write-reliability=true", "--write-sensor-weights=true"),
        ("--out_dir=a_b", "--out_dir=a_b"),
    ],
)
def test_renamed_flags_get_their_present_name(typed: str, current: str) -> None:
    assert replace_old_flags(["predict", typed, "x"]) == ["predict", current, "x"]


def test_removed_flags_are_refused_in_their_command_only() -> None:
    with pytest.raises(ConfigError, match=r"^--split-rows was removed: each scene is mapped by one worker, .*; leave"):
        replace_old_flags(["predict-many", "--split_rows=2"])
    assert replace_old_flags(["predict", "--split-rows", "2"]) == ["predict", "--split-rows", "2"]
    assert replace_old_flags([]) == []
