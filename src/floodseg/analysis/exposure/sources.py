"""Source, date and licence of each layer."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePath

from floodseg.config.exposure import SOURCES, ExposureConfig

UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class LayerSource:
    """Origin of one layer."""

    file: str
    """Name of the file, without its folder."""
    name: str
    date: str
    licence: str

    def __str__(self) -> str:
        known = [part for part in (self.date, self.licence) if part != UNKNOWN]
        return f"{self.name} ({', '.join(known) or 'date and licence unknown'})"


def layer_sources(config: ExposureConfig) -> dict[str, LayerSource]:
    """Return the source of each layer that is set, by its setting.

    Without a setting of its own, the name is that of the file, and date and licence are unknown.
    """
    sources = {}
    for layer in SOURCES:
        path = getattr(config, layer)
        if path is not None:
            file = PurePath(path).name
            sources[layer] = LayerSource(file, *(config.source(layer) or (file, UNKNOWN, UNKNOWN)))
    return sources


def notes(sources: Mapping[str, LayerSource]) -> list[str]:
    """Return a sentence for each layer without a known licence."""
    return [
        f"`{layer}_source`: not set, so the date and licence of {source.file} are unknown; anyone who passes the "
        "figures on needs them"
        for layer, source in sources.items()
        if source.licence == UNKNOWN
    ]
