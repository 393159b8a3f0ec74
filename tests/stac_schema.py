"""Check of STAC items by the schemas in pystac."""

from typing import Any

import jsonschema
from pystac.validation.local_validator import get_local_schema_cache
from referencing import Registry, Resource


def check_item(document: dict[str, Any]) -> None:
    """Validate a document with the STAC item schema and the schemas it refers to, without network."""
    schemas = get_local_schema_cache()
    registry = Registry().with_resources([(uri, Resource.from_contents(text)) for uri, text in schemas.items()])
    schema = schemas[f"https://schemas.stacspec.org/v{document['stac_version']}/item-spec/json-schema/item.json"]
    jsonschema.Draft7Validator(schema, registry=registry).validate(document)
