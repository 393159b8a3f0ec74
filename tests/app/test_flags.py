"""Tests of the conversion of settings in messages to flags."""

from floodseg.app.flags import as_flags


def test_settings_become_flags() -> None:
    message = "`tile_size=65`: must be a multiple of 64; or leave `overlap` out"
    assert as_flags(message) == "--tile-size 65: must be a multiple of 64; or leave --overlap out"


def test_values_stay_as_they_are() -> None:
    assert as_flags("`sar=a b_c.tif`: `B03`, it's `") == "--sar a b_c.tif: `B03`, it's `"
