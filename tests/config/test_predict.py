"""Tests of tile size and overlap."""

import pytest

from floodseg.config.predict import MapConfig
from floodseg.errors import ConfigError


@pytest.mark.parametrize("overlap", [None, 0, 64, 192, 2048])
def test_overlap_may_be_larger_than_the_tile(overlap: int | None) -> None:
    assert MapConfig(tile_size=64, overlap=overlap).overlap == overlap


@pytest.mark.parametrize("overlap", [-64, 32, 100])
def test_overlap_must_be_a_multiple_of_64(overlap: int) -> None:
    with pytest.raises(ConfigError, match=f"`overlap={overlap}`: must be 0 or a multiple of 64"):
        MapConfig(overlap=overlap)


@pytest.mark.parametrize("tile_size", [0, 32, 100])
def test_tile_size_must_be_a_multiple_of_64(tile_size: int) -> None:
    with pytest.raises(ConfigError, match=f"`tile_size={tile_size}`: must be a multiple of 64"):
        MapConfig(tile_size=tile_size)
