"""Nested configurations from flat keywords."""

import pytest

from floodseg.config.fetch import FetchConfig, MapPlaceConfig
from floodseg.config.flat import from_flat
from floodseg.config.places import SearchConfig
from floodseg.errors import ConfigError


def test_settings_reach_the_nested_configuration_that_has_them() -> None:
    config = from_flat(FetchConfig, {"place": "Adria, IT", "date": "2024-10-31", "transfers": 4, "context": 7})
    assert (config.search.area.place, config.search.period.date) == ("Adria, IT", "2024-10-31")
    assert (config.reading.transfers, config.context) == (4, 7)
    assert config.search.sensors == SearchConfig().sensors
    assert from_flat(MapPlaceConfig, {"tile_size": 128}).mapping.tile_size == 128


def test_box_is_converted_to_four_numbers() -> None:
    assert from_flat(SearchConfig, {"bbox": ["1", 2, 3, 4.5]}).area.bbox == (1.0, 2.0, 3.0, 4.5)
    with pytest.raises(ConfigError, match=r"`bbox=\[1, 2, 3\]`: must be four numbers: west, south, east, north"):
        from_flat(SearchConfig, {"bbox": [1, 2, 3]})


@pytest.mark.parametrize("kind", [SearchConfig, FetchConfig, MapPlaceConfig])
def test_unknown_setting_names_a_similar_one(kind: type[SearchConfig]) -> None:
    with pytest.raises(ConfigError, match="`max_cluod`: is not a setting; did you mean `max_cloud`"):
        from_flat(kind, {"max_cluod": 3})


def test_groups_are_no_settings() -> None:
    with pytest.raises(ConfigError, match="`area`: is not a setting"):
        from_flat(SearchConfig, {"area": None})
