"""What is to be said about a scene's products beside their pixels."""

import datetime as dates
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from floodseg.messages import redacted


@dataclass(frozen=True, slots=True)
class OneOfMany:
    """What is to be said of a scene that is mapped with many others."""

    id: str
    """Of its STAC item."""
    collection: str
    """Identifier of the STAC collection over all scenes."""
    collection_href: str
    """The collection's document, seen from the products."""
    content: Mapping[str, Any]
    """What the products were made from, as checksums: an entry of ``summary.json``."""


@dataclass(frozen=True, slots=True)
class ProductInfo:
    """Where the products come from; it holds no secrets that the names of files carried."""

    model: str
    """Name of the shipped model, or the path it was loaded from."""
    threshold: float | Mapping[str, float] | None
    """Water from this probability on; by sensor set where they differ, None for a method without a threshold."""
    knows_permanent_water: bool
    """Whether water that is always there was told apart; else flood is all open water."""
    datetime: dates.datetime
    """When the scene was taken; with a time zone."""
    datetime_source: str
    """How that was found: one sentence or a few words."""
    inputs: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Files by flag without dashes."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Settings of mapping, plain values by name."""
    licence: str | None = None
    """Terms of use and attribution of the products."""
    many: OneOfMany | None = None
    """Where the scene is one of many."""

    def __post_init__(self) -> None:
        assert self.datetime.tzinfo is not None, "the scene's date has no time zone"
        inputs = {name: tuple(redacted(file) for file in files) for name, files in self.inputs.items()}
        for name, value in (
            ("inputs", inputs), ("model", redacted(self.model)), ("datetime_source", redacted(self.datetime_source)),
        ):  # fmt: skip
            object.__setattr__(self, name, value)

    @property
    def utc(self) -> dates.datetime:
        """The scene's date in UTC."""
        return self.datetime.astimezone(dates.UTC)

    @property
    def water_name(self) -> str:
        """What code 1 means to a reader: flood, or all open water."""
        return "flood" if self.knows_permanent_water else "open water"
