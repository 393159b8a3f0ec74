"""The architectures by name, and the one factory that composes a model."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from torch import nn

from floodseg.bands import L1C_BANDS, L2A_BANDS, SAR_BANDS, Bands, BandStatistics
from floodseg.errors import ConfigError
from floodseg.models.model import FloodModel, ModelSpec
from floodseg.models.networks.baseline import baseline
from floodseg.models.networks.efficient import efficient
from floodseg.models.networks.lite import lite


@dataclass(frozen=True, slots=True)
class ArchitectureEntry:
    """An architecture: its builder, its default encoder (None where it has none), a sentence for listings, its overlap.

    ``overlap`` is what neighbouring windows of a scene must share, in pixels, for a map that does not depend on the
    size of the windows: half of it from a window's border, the border is seen no more. It is measured, by
    ``benchmarks/scenes/seams.py``; what pools over a whole window (attention, CBAM, squeeze and
    excitation) is not in it.
    """

    build: Callable[..., nn.Module]
    default_encoder: str | None
    summary: str
    overlap: int


ARCHITECTURES: dict[str, ArchitectureEntry] = {
    "efficient": ArchitectureEntry(
        efficient, "resnet34", "light encoder, dual-branch decoder (CNN and attention), learnable fusion", overlap=192
    ),
    "baseline": ArchitectureEntry(
        baseline, "resnet50", "heavy reference: ResNet-50 per sensor, CBAM, ASPP, dual-branch decoder", overlap=256
    ),
    "lite": ArchitectureEntry(lite, None, "smallest: below one million parameters, no encoder", overlap=256),
}


def overlap_of(model: FloodModel) -> int:
    """Return what neighbouring windows must share, in pixels: the most of the model and its specialists."""
    networks = [model, *(model.specialist(sensor) for sensor in model.specialists)]
    return max(ARCHITECTURES[each.spec.architecture].overlap for each in networks)


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
    """Build a model with fresh weights (and pretrained encoder weights where asked for).

    Args:
        name: ``efficient``, ``baseline`` or ``lite``.
        encoder: a timm ``features_only`` encoder; by default that of the architecture (resnet34 for ``efficient``).
        sar_channels: number of SAR bands (default 2); 0 makes a model without radar.
        optical_channels: number of optical bands (default 13); 0 makes a radar-only model.
        pretrained: None or ``none``, ``auto``, ``required``, or a weights file of the encoder.
        bands: names and units of the bands, instead of the two numbers of channels.
        sar_statistics: one entry for each SAR band, in dB; typical values by default.
        optical_statistics: one entry for each optical band, in reflectance; typical values by default.

    Raises:
        ConfigError: an unknown architecture or encoder, or no band at all.
        CheckpointError: pretrained weights that are required and cannot be had, or do not fit.
    """
    entry = ARCHITECTURES.get(name)
    if entry is None:
        close = get_close_matches(name, ARCHITECTURES, n=1)
        hint = f" (did you mean {close[0]}?)" if close else ""
        raise ConfigError(f"model '{name}'{hint}: must be one of {', '.join(ARCHITECTURES)}")
    bands = _resolve_bands(bands, sar_channels, optical_channels)
    if entry.default_encoder is None:
        if encoder is not None:
            raise ConfigError(f"encoder '{encoder}' given for '{name}', which has none: leave --encoder out")
        if pretrained not in (None, "none", "auto"):
            raise ConfigError(f"pretrained '{pretrained}' given for '{name}', which has no encoder: use none")
        network = entry.build(sar_channels=len(bands.sar), optical_channels=len(bands.optical))
    else:
        encoder = encoder or entry.default_encoder
        network = entry.build(
            encoder=encoder,
            sar_channels=len(bands.sar),
            optical_channels=len(bands.optical),
            pretrained=pretrained,
        )
    return FloodModel(network, ModelSpec(name, encoder, bands), sar_statistics, optical_statistics)


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
    """Return the standard names where ``count`` bands have some, else numbered ones."""
    if count < 0:
        raise ConfigError(f"{sensor}_channels {count}: must be 0 or more")
    for standard in standards:
        if len(standard) == count:
            return standard
    return tuple(f"{sensor}_{index}" for index in range(1, count + 1))
