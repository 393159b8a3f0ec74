"""Registry of architectures, and construction of models."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import nn

from floodseg.bands import L1C_BANDS, L2A_BANDS, SAR_BANDS, Bands, BandStatistics
from floodseg.errors import ConfigError
from floodseg.messages import suggestion
from floodseg.models.log_odds_fusion import LogOddsFusion
from floodseg.models.model import FloodModel, ModelSpec
from floodseg.models.multi_sensor import AnyModel, MultiSensorModel, plain_models
from floodseg.models.networks.baseline import baseline
from floodseg.models.networks.efficient import efficient
from floodseg.models.networks.lite import lite
from floodseg.models.networks.spectral import spectral
from floodseg.models.normaliser import DEFAULT_STATISTICS


@dataclass(frozen=True, slots=True)
class ArchitectureEntry:
    """A network architecture.

    Attributes:
        build: function that builds the network. Its name is the name of the architecture.
        default_encoder: timm encoder; None for an architecture without an encoder.
        summary: one line for listings.
        overlap: overlap in pixels of neighbouring windows of a scene. The border of a window has no effect on pixels at
            half of this distance, so the map does not depend on the size of the windows. Layers that pool over a
            complete window (full attention, CBAM, squeeze and excitation) are not part of this measurement by
            ``benchmarks/scenes/seams.py``.
        bands: the only bands that the architecture takes; None for one that takes any.
    """

    build: Callable[..., nn.Module]
    default_encoder: str | None
    summary: str
    overlap: int
    bands: Bands | None = None


_ENTRIES = (
    ArchitectureEntry(
        efficient, "resnet34", "light encoder, dual-branch decoder (CNN and attention), gated fusion", overlap=192
    ),
    ArchitectureEntry(
        baseline, "resnet50", "large reference: ResNet-50 per sensor, CBAM, ASPP, dual-branch decoder", overlap=256
    ),
    ArchitectureEntry(lite, None, "smallest: below one million parameters, no encoder", overlap=256),
    ArchitectureEntry(
        spectral,
        None,
        "for optical images only: NDWI corrected by a small network on water indices",
        overlap=64,
        bands=Bands(sar=(), optical=("B02", "B03", "B04", "B08", "B11", "B12")),
    ),
)
ARCHITECTURES: dict[str, ArchitectureEntry] = {entry.build.__name__: entry for entry in _ENTRIES}


def overlap_of(model: AnyModel) -> int:
    """Return the overlap of neighbouring windows in pixels, the largest of those of the models and of the fusion."""
    overlaps = [ARCHITECTURES[each.spec.architecture].overlap for each in plain_models(model).values()]
    fused = model.fused if isinstance(model, MultiSensorModel) else None
    return max(*overlaps, fused.overlap if isinstance(fused, LogOddsFusion) else 0)


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
    """Build a model with new weights. The encoder can have pretrained weights.

    Args:
        name: ``efficient``, ``baseline``, ``lite`` or ``spectral``.
        encoder: a timm ``features_only`` encoder; by default that of the architecture (resnet34 for ``efficient``).
        sar_channels: number of radar bands (default 2); 0 for a model without radar.
        optical_channels: number of optical bands (default 13); 0 for a model without optical imagery. ``spectral``
            always takes the same bands, and needs neither number.
        pretrained: None or ``none``, ``auto``, ``required``, or a file of encoder weights.
        bands: names and units of the bands, instead of the two numbers of channels.
        sar_statistics: one entry for each radar band, in dB; by default typical values.
        optical_statistics: one entry for each optical band, in reflectance; by default typical values.

    Raises:
        ConfigError: an unknown architecture or encoder, no band, or bands that the architecture does not take.
        CheckpointError: required weights are not available, or weights do not fit the encoder.

    Example:
        >>> model = floodseg.build_model("lite", sar_channels=2, optical_channels=0)
        >>> model.spec.architecture
        'lite'
    """
    entry = ARCHITECTURES.get(name)
    if entry is None:
        raise ConfigError(f"model '{name}'{suggestion(name, ARCHITECTURES)}: must be one of {', '.join(ARCHITECTURES)}")
    if entry.bands is not None and (bands, sar_channels, optical_channels) == (None, None, None):
        bands = entry.bands
    bands = _resolve_bands(bands, sar_channels, optical_channels)
    arguments = _network_arguments(name, entry, bands, encoder, pretrained)
    if entry.bands is not None:
        _require_bands(name, entry.bands, bands)
        optical_statistics = _physical(bands.optical, optical_statistics)
    spec = ModelSpec(name, arguments.get("encoder"), bands)
    return FloodModel(entry.build(**arguments), spec, sar_statistics, optical_statistics)


def _network_arguments(
    name: str, entry: ArchitectureEntry, bands: Bands, encoder: str | None, pretrained: str | Path | None
) -> dict[str, Any]:
    """Return the arguments of the function that builds the network."""
    channels = {"sar_channels": len(bands.sar), "optical_channels": len(bands.optical)}
    if entry.default_encoder is not None:
        return {**channels, "encoder": encoder or entry.default_encoder, "pretrained": pretrained}
    if encoder is not None:
        raise ConfigError(f"`encoder={encoder}`: model '{name}' has no encoder; leave it out")
    if pretrained not in (None, "none", "auto"):
        raise ConfigError(f"`pretrained={pretrained}`: model '{name}' has no encoder; leave it out")
    return {} if entry.bands is not None else channels


def _require_bands(name: str, required: Bands, bands: Bands) -> None:
    """Raise ConfigError unless the bands are those that an architecture requires, in the same order and units."""
    if bands != required:
        raise ConfigError(
            f"model '{name}': takes {required}, but the bands are {bands}; set `sensors=optical` and "
            f"`optical_bands={' '.join(required.optical)}`"
        )


def _physical(bands: Sequence[str], statistics: Sequence[BandStatistics] | None) -> list[BandStatistics]:
    """Return statistics that clip images to the same range, but do not standardise them."""
    if statistics is None:
        statistics = [DEFAULT_STATISTICS["optical"]] * len(bands)
    return [replace(band, mean=0.0, std=1.0) for band in statistics]


def _resolve_bands(bands: Bands | None, sar_channels: int | None, optical_channels: int | None) -> Bands:
    if bands is None:
        bands = Bands(
            sar=_band_names("sar", 2 if sar_channels is None else sar_channels, SAR_BANDS),
            optical=_band_names("optical", 13 if optical_channels is None else optical_channels, L1C_BANDS, L2A_BANDS),
        )
    elif sar_channels is not None or optical_channels is not None:
        raise ConfigError("`bands` and channel numbers are mutually exclusive; pass one of them")
    if not bands.sar and not bands.optical:
        raise ConfigError("a model needs at least one band; set `sar_channels` or `optical_channels` above 0")
    return bands


def _band_names(sensor: str, count: int, *standards: tuple[str, ...]) -> tuple[str, ...]:
    """Return the standard names of ``count`` bands, or numbered names for another count."""
    if count < 0:
        raise ConfigError(f"`{sensor}_channels={count}`: must be 0 or more")
    numbered = tuple(f"{sensor}_{number}" for number in range(1, count + 1))
    return next((standard for standard in standards if len(standard) == count), numbered)
