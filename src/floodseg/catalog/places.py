"""Offline geocoder: places of GeoNames (CC BY 4.0) with more than 5,000 inhabitants, by name and country.

The table ``data/places.tsv.gz`` is made by ``tools/places.py``. Its fields are

* in the line of a country: ``#`` and ISO code of two letters, ISO code of three letters, name;
* in the line of a place: main name, ISO code of the country, code of the region, latitude, longitude, inhabitants, and
  the search keys of all names between ``|``, that of the main name first.
"""

import gzip
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from pathlib import Path

from floodseg.errors import ConfigError
from floodseg.messages import printable

TABLE = Path(__file__).parent / "data" / "places.tsv.gz"
ATTRIBUTION = "Places: GeoNames (geonames.org), CC BY 4.0"

_MAX_CANDIDATES = 8
_LETTERS = str.maketrans({
    "ß": "ss", "æ": "ae", "Æ": "ae", "œ": "oe", "Œ": "oe", "ø": "o", "Ø": "o", "ł": "l", "Ł": "l", "đ": "d", "Đ": "d",
    "ð": "d", "Ð": "d", "þ": "th", "Þ": "th", "\u0131": "i", "ħ": "h", "Ħ": "h", "ə": "e", "Ə": "e",
})  # fmt: skip
"""Latin letters that Unicode does not decompose."""


@dataclass(frozen=True, slots=True)
class Place:
    """An inhabited place."""

    name: str
    country: str
    """ISO code of two letters."""
    region: str
    """Code of the first administrative level, such as CA for California; empty if unknown."""
    latitude: float
    longitude: float
    population: int

    def __str__(self) -> str:
        where = ", ".join(filter(None, (self.name, self.region, self.country)))
        return f'"{where}" ({self.latitude:.2f}, {self.longitude:.2f}; {self.population:,} inhabitants)'


def search_key(text: str) -> str:
    """Return the form of a name that is compared: lower case without accents, and single spaces for other characters.

    Empty for names with letters that are not Latin.
    """
    decomposed = unicodedata.normalize("NFKD", text.translate(_LETTERS))
    plain = "".join(letter for letter in decomposed if not unicodedata.combining(letter)).lower()
    if any(letter.isalpha() and not letter.isascii() for letter in plain):
        return ""
    return " ".join(re.findall(r"[a-z0-9]+", plain))


def find_place(text: str) -> tuple[Place, tuple[Place, ...]]:
    """Return the place that a text names, and others of the same name in its country, by population.

    ``text`` is a name, "NAME, COUNTRY" or "NAME, REGION, COUNTRY". A country is an ISO code or an English name, and a
    region a code. A main name takes precedence over an alternate name, then a larger place over a smaller one.

    Raises:
        ConfigError: the place or the country is unknown, or a name without a country fits places in several countries;
            the message lists them.
    """
    name, *parts = [part.strip() for part in text.split(",")]
    key = search_key(name)
    if not key or len(parts) > 2:
        raise ConfigError(
            f'`place={text}`: must be a name in Latin letters, such as "Valencia, ES" or "Springfield, IL, US"; '
            "use another name of the place, or set `bbox`"
        )
    country = _country_code(text, parts[-1]) if parts else None
    region = parts[0].upper() if len(parts) == 2 else None
    by_main, by_alternate = _matches(key)
    if country is not None:
        by_main, by_alternate = (
            [place for place in group if place.country == country and region in (None, place.region)]
            for group in (by_main, by_alternate)
        )
    found = by_main or by_alternate
    if not found:
        raise ConfigError(f"`place={text}`: is not in the table of places; {_remedy(key, country)}")
    if country is None:
        _require_one_country(text, [*by_main, *by_alternate], found[0])
    return found[0], tuple(place for place in found[1:] if place.country == found[0].country)


def _require_one_country(text: str, named: list[Place], best: Place) -> None:
    """Raise ConfigError if other countries have a place of this main name, or a larger one of this alternate name."""
    key = search_key(text)
    rivals = [
        place
        for place in named
        if place.country != best.country and (search_key(place.name) == key or place.population > best.population)
    ]
    if rivals:
        shown = sorted({best, *rivals}, key=lambda place: -place.population)
        rest = f"; and {len(shown) - _MAX_CANDIDATES} more" if len(shown) > _MAX_CANDIDATES else ""
        raise ConfigError(
            f"`place={text}`: names several places; add the country, as in one of these: "
            f"{'; '.join(map(str, shown[:_MAX_CANDIDATES]))}{rest}"
        )


def _matches(key: str) -> tuple[list[Place], list[Place]]:
    """Return the places with this main name, and those with this alternate name, the largest first."""
    by_main: list[Place] = []
    by_alternate: list[Place] = []
    for line in _lines_with(f"|{key}|"):
        name, country, region, latitude, longitude, population, keys = line.split("\t")
        place = Place(name, country, region, float(latitude), float(longitude), int(population))
        (by_main if keys.startswith(f"|{key}|") else by_alternate).append(place)
    for group in (by_main, by_alternate):
        group.sort(key=lambda place: -place.population)
    return by_main, by_alternate


def _lines_with(text: str) -> Iterator[str]:
    table = _table()
    at = table.find(text)
    while at >= 0:
        end = table.index("\n", at)
        yield table[table.rfind("\n", 0, at) + 1 : end]
        at = table.find(text, end)


@cache
def _table() -> str:
    return gzip.decompress(TABLE.read_bytes()).decode("utf-8")


def _country_code(text: str, country: str) -> str:
    wanted = search_key(country)
    for line in _table().split("\n"):
        if not line.startswith("#"):
            break
        names = line[1:].split("\t")
        if wanted in [search_key(name) for name in names]:
            return names[0]
    raise ConfigError(
        f"`place={text}`: '{printable(country)}' is not a country; use its code of two letters (ISO 3166) or its "
        "English name"
    )


def _remedy(key: str, country: str | None) -> str:
    """Return the remedy for a name that is not in the table, with similar names if there are any."""
    keys = {
        names.partition("|")[0]
        for line in _table().splitlines()
        if (names := line.rpartition("\t|")[2]).startswith(key[0]) and (country is None or f"\t{country}\t" in line)
    }
    similar = get_close_matches(key, keys, n=4)
    spelling = f" (similar names: {', '.join(similar)})" if similar else ""
    return f"check the spelling{spelling}, use a place above 5,000 inhabitants nearby, or set `bbox` or `aoi`"
