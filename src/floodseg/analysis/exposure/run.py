"""Inputs and results of a run, from which all products are written."""

import json
from collections.abc import Mapping
from dataclasses import dataclass

from floodseg.analysis.exposure.figures import Item, LayerResult
from floodseg.analysis.exposure.observed import ObservedMap
from floodseg.analysis.exposure.sources import LayerSource
from floodseg.analysis.exposure.zones import Zones
from floodseg.config.exposure import ExposureConfig
from floodseg.scene.acquisition import Acquisition


@dataclass(frozen=True, slots=True)
class Run:
    """Inputs and results of a run."""

    map_entry: Mapping[str, str | None]
    """Name and checksum of the map."""
    config: ExposureConfig
    observed: ObservedMap
    zones: Zones
    results: Mapping[str, LayerResult]
    """By the setting of the layer."""
    sources: Mapping[str, LayerSource]
    """By the setting of the layer."""
    acquisition: Acquisition | None
    """Acquisition time of the map; None if unknown."""

    @property
    def items(self) -> tuple[Item, ...]:
        """Items of all layers."""
        return tuple(item for result in self.results.values() for item in result.items)

    @property
    def map_tags(self) -> Mapping[str, str]:
        """GDAL metadata of the map."""
        return self.observed.flood.tags

    @property
    def has_area_of_interest(self) -> bool:
        """True if the map says that it was made for an area of interest, outside of which it is nodata."""
        try:
            return "aoi" in json.loads(self.map_tags.get("FLOODSEG_INPUTS", "{}"))
        except (json.JSONDecodeError, TypeError):
            return False  # of other software

    @property
    def knows_permanent_water(self) -> bool:
        """False if the map says that its code 1 is all open water."""
        descriptions = self.observed.flood.source.descriptions
        return not (descriptions[0] or "").startswith("open water")
