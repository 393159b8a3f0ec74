"""Check of STAC items by the schemas in pystac and in ``tests/schemas``, without a network."""

import json
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
from pystac.validation.local_validator import get_local_schema_cache
from referencing import Registry, Resource


@cache
def _schemas() -> dict[str, Any]:
    """Return the schemas of STAC, and those of the extensions in ``tests/schemas``, by address."""
    found: dict[str, Any] = get_local_schema_cache()
    for file in (Path(__file__).parent / "schemas").glob("*.json"):
        extension, _, version = file.stem.partition("-")
        address = f"https://stac-extensions.github.io/{extension}/{version}/schema.json"
        found[address] = json.loads(file.read_text(encoding="utf-8"))
    return found


def check_item(document: dict[str, Any]) -> None:
    """Validate an item with the STAC item schema, and with those of its extensions that are in ``tests/schemas``."""
    schemas = _schemas()
    registry: Registry[Any] = Registry().with_resources(
        [(address, Resource.from_contents(schema)) for address, schema in schemas.items()]
    )
    core = f"https://schemas.stacspec.org/v{document['stac_version']}/item-spec/json-schema/item.json"
    for address in (core, *document["stac_extensions"]):
        if address == core or address in schemas:
            jsonschema.Draft7Validator(schemas[address], registry=registry).validate(document)
