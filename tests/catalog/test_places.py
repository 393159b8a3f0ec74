import re
import time

import pytest

from floodseg.catalog import places
from floodseg.catalog.places import TABLE, find_place, search_key
from floodseg.errors import ConfigError


def test_table_is_small_and_fast_enough() -> None:
    assert TABLE.stat().st_size < 3.5e6
    seconds = []  # of the processor, which other processes do not lengthen
    for _ in range(5):
        places._table.cache_clear()
        began = time.process_time()
        find_place("Valencia, ES")
        seconds.append(time.process_time() - began)
    assert min(seconds) < 0.3


@pytest.mark.parametrize(
    ("text", "name", "country", "latitude", "longitude"),
    [
        ("Valencia, ES", "Valencia", "ES", 39.47, -0.38),
        ("valencia,spain", "Valencia", "ES", 39.47, -0.38),
        ("Valencia, ESP", "Valencia", "ES", 39.47, -0.38),
        ("Bologna", "Bologna", "IT", 44.49, 11.34),  # not Castel Guelfo di Bologna
        ("Köln", "Köln", "DE", 50.93, 6.95),
        ("Koln", "Köln", "DE", 50.93, 6.95),
        ("Cologne, DE", "Köln", "DE", 50.93, 6.95),
        ("Cologne, IT", "Cologne", "IT", 45.58, 9.94),
        ("s-Hertogenbosch", "'s-Hertogenbosch", "NL", 51.70, 5.30),
        ("Springfield, IL, US", "Springfield", "US", 39.80, -89.64),
        ("Florence, IT", "Florence", "IT", 43.78, 11.25),
    ],
)
def test_finds_a_place_by_name_and_country(
    text: str, name: str, country: str, latitude: float, longitude: float
) -> None:
    place, _ = find_place(text)
    assert (place.name, place.country) == (name, country)
    assert (place.latitude, place.longitude) == pytest.approx((latitude, longitude), abs=0.01)


def test_population_decides_within_a_country_and_the_others_are_returned() -> None:
    place, others = find_place("Springfield, US")
    assert place.region == "MO"
    assert {other.region for other in others} >= {"MA", "IL", "OR"}
    assert all(place.population > other.population for other in others)


def test_a_first_name_comes_before_a_more_populous_place_with_this_alternate_name() -> None:
    place, _ = find_place("Cologne, IT")
    assert place.population < 10_000


@pytest.mark.parametrize("text", ["Valencia", "Paris", "Florence"])
def test_ambiguous_name_without_country_lists_candidates_that_are_accepted(text: str) -> None:
    with pytest.raises(ConfigError, match=f"`place={text}`: names several places; add the country") as caught:
        find_place(text)
    advised = re.findall(r'"([^"]+)"', str(caught.value))
    assert len(advised) > 1
    for candidate in advised:
        place, _ = find_place(candidate)
        assert f'"{candidate}"' in str(place)


def test_a_larger_place_of_this_alternate_name_makes_a_first_name_ambiguous() -> None:
    with pytest.raises(ConfigError, match=r"names several places.*Köln, 07, DE.*Cologne, 09, IT"):
        find_place("Cologne")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Valenciaa, ES", r"is not in the table of places; check the spelling \(similar names: valencia"),
        ("Zzyzxq", "is not in the table of places; check the spelling"),
        ("Valencia, XQ", "'XQ' is not a country; use its code"),
        ("Валенсия", "must be a name in Latin letters"),
        ("", "must be a name in Latin letters"),
        ("a, b, c, d", "must be a name in Latin letters"),
    ],
)
def test_unknown_places_are_refused(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        find_place(text)


@pytest.mark.parametrize(
    ("text", "key"),
    [("São Paulo", "sao paulo"), ("Łódź", "lodz"), ("Saint-Denis", "saint denis"), ("Валенсия", "")],
)
def test_search_key(text: str, key: str) -> None:
    assert search_key(text) == key
