"""Provenance of the products of a scene."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from floodseg.messages import redacted
from floodseg.scene.acquisition import Acquisition


@dataclass(frozen=True, slots=True)
class CollectionMember:
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
    acquisition: Acquisition | None
    """When the scene was taken; None where that is not known."""
    inputs: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Files by flag without dashes."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Settings of mapping, plain values by name."""
    licence: str | None = None
    """Terms of use and attribution of the products."""
    member: CollectionMember | None = None
    """Where the scene is one of many."""

    def __post_init__(self) -> None:
        inputs = {name: tuple(redacted(file) for file in files) for name, files in self.inputs.items()}
        for name, value in (
            ("inputs", inputs),
            ("model", redacted(self.model)),
            ("acquisition", self.acquisition and replace(self.acquisition, source=redacted(self.acquisition.source))),
        ):
            object.__setattr__(self, name, value)

    @property
    def water_name(self) -> str:
        """What code 1 means to a reader: flood, or all open water."""
        return "flood" if self.knows_permanent_water else "open water"
