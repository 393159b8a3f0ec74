"""Provenance of the products of a scene."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from floodseg.messages import redacted
from floodseg.products.strips import CLASS_NAMES, FLOOD
from floodseg.scene.acquisition import Acquisition
from floodseg.scene.image_sources import ImageSource


@dataclass(frozen=True, slots=True)
class CollectionMember:
    """Identifiers of a scene in a collection of scenes."""

    id: str
    """Identifier of the scene's STAC item."""
    collection: str
    """Identifier of the STAC collection."""
    collection_href: str
    """Path of the collection document, relative to the products."""
    content: Mapping[str, Any]
    """Checksums of inputs, model and settings, for ``summary.json``."""


@dataclass(frozen=True, slots=True)
class ProductInfo:
    """Model, inputs and settings of the products; secrets in file names are removed."""

    model: str
    """Name of a shipped model, or path of a model file."""
    threshold: float | Mapping[str, float] | None
    """Smallest probability that counts as water, by sensor set if they differ; None without a threshold."""
    knows_permanent_water: bool
    """True if permanent water is a class of its own; otherwise code 1 is all open water."""
    acquisition: Acquisition | None
    """Acquisition time; None if unknown."""
    inputs: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Files by setting."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Settings of mapping, as JSON values."""
    licence: str | None = None
    """Terms of use and attribution of the products."""
    member: CollectionMember | None = None
    """Set for a scene of a collection."""
    sources: tuple[ImageSource, ...] = ()
    """STAC items of the images, where they are known."""

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
        """Name of code 1: flood, or open water if permanent water is unknown."""
        return "flood" if self.knows_permanent_water else "open water"

    @property
    def class_names(self) -> dict[int, str]:
        """Name of each class code."""
        return CLASS_NAMES | {FLOOD: self.water_name}
