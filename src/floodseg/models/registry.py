"""Registry of architectures, and the factory of models."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from torch import nn

from floodseg.bands import L1C_BANDS, L2A_BANDS, SAR_BANDS, Bands, BandStatistics
from floodseg.errors import ConfigError
from floodseg.models.model import FloodModel, ModelSpec
from floodseg.models.networks.baseline import baseline
from floodseg.models.networks.efficient import efficient
from floodseg.models.networks.lite import lite
from floodseg.models.specialists.multi_sensor import specialists_of


@dataclass(frozen=True, slots=True)
class ArchitectureEntry:
    """A network architecture.

    Attributes:
        build: builds the network; its name is the name of the architecture.
        default_encoder: timm encoder; None for an architecture without one.
        summary: one line for listings.
        overlap: pixels that neighbouring windows of a scene share, for a map that does not depend on the size of the
            windows: at half of it from a window's border, the border has no influence. It is measured by
            ``benchmarks/scenes/seams.py``; layers that pool over a whole window (attention, CBAM, squeeze and
            excitation) are not part of it.
    """

    build: Callable[..., nn.Module]
    default_encoder: str | None
    summary: str
    overlap: int


_ENTRIES = (
    ArchitectureEntry(
        efficient, "resnet34", "light encoder, dual-branch decoder (CNN and attention), learnable fusion", overlap=192
    ),
    ArchitectureEntry(
        baseline, "resnet50", "heavy reference: ResNet-50 per sensor, CBAM, ASPP, dual-branch decoder", overlap=256
    ),
    ArchitectureEntry(lite, None, "smallest: below one million parameters, no encoder", overlap=256),
)
ARCHITECTURES: dict[str, ArchitectureEntry] = {entry.build.__name__: entry for entry in _ENTRIES}


def overlap_of(model: FloodModel) -> int:
    """Return how many pixels neighbouring windows must share: the largest overlap of a model and its specialists."""
    models = [model, *specialists_of(model).values()]
    return max(ARCHITECTURES[each.spec.architecture].overlap for each in models)


def build_model(
    name: str,
    *,
    encoder: str | None = None,
    sar_channels: int | None = None,
    optical_channels: int | None = None,
    pretrained: str | Path | None = None,
    bands: Bands | None = None,
    sar_statistics: Sequence[BandStatistics] | None = None,
    optical_statistics: Sequence[BandStatistics] | None = None,
) -> FloodModel:
    """Build a model with new weights, or with pretrained weights of its encoder.

    Args:
        name: ``efficient``, ``baseline`` or ``lite``.
        encoder: a timm ``features_only`` encoder; by default that of the architecture (resnet34 for ``efficient``).
        sar_channels: number of SAR bands (default 2); 0 makes a model without SAR.
        optical_channels: number of optical bands (default 13); 0 makes a model of SAR alone.
        pretrained: None or ``none``, ``auto``, ``required``, or a weights file of the encoder.
        bands: names and units of the bands, instead of the two numbers of channels.
        sar_statistics: one entry for each SAR band, in dB; typical values by default.
        optical_statistics: one entry for each optical band, in reflectance; typical values by default.

    Raises:
        ConfigError: an unknown architecture or encoder, or no band at all.
        CheckpointError: pretrained weights that are required and not available, or do not fit.
    """
    entry = ARCHITECTURES.get(name)
    if entry is None:
        close = get_close_matches(name, ARCHITECTURES, n=1)
        hint = f" (did you mean {close[0]}?)" if close else ""
        raise ConfigError(f"model '{name}'{hint}: must be one of {', '.join(ARCHITECTURES)}")
    bands = _resolve_bands(bands, sar_channels, optical_channels)
    arguments: dict[str, Any] = {"sar_channels": len(bands.sar), "optical_channels": len(bands.optical)}
    if entry.default_encoder is not None:
        encoder = encoder or entry.default_encoder
        arguments |= {"encoder": encoder, "pretrained": pretrained}
    elif encoder is not None:
        raise ConfigError(f"encoder '{encoder}' given for '{name}', which has none: leave `encoder` out")
    elif pretrained not in (None, "none", "auto"):
        raise ConfigError(f"pretrained '{pretrained}' given for '{name}', which has no encoder: use none")
    return FloodModel(entry.build(**arguments), ModelSpec(name, encoder, bands), sar_statistics, optical_statistics)


def _resolve_bands(bands: Bands | None, sar_channels: int | None, optical_channels: int | None) -> Bands:
    if bands is None:
        bands = Bands(
            sar=_names("sar", 2 if sar_channels is None else sar_channels, (SAR_BANDS,)),
            optical=_names("optical", 13 if optical_channels is None else optical_channels, (L1C_BANDS, L2A_BANDS)),
        )
    elif sar_channels is not None or optical_channels is not None:
        raise ConfigError("bands and channel numbers were both given: give one of them")
    if not bands.sar and not bands.optical:
        raise ConfigError("a model needs at least one band: give sar_channels or optical_channels above 0")
    return bands


def _names(sensor: str, count: int, standards: tuple[tuple[str, ...], ...]) -> tuple[str, ...]:
    """Return the standard names of ``count`` bands, or numbered ones if there is no standard."""
    if count < 0:
        raise ConfigError(f"{sensor}_channels {count}: must be 0 or more")
    for standard in standards:
        if len(standard) == count:
            return standard
    return tuple(f"{sensor}_{index}" for index in range(1, count + 1))
