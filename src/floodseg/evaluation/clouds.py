"""Scores under simulated clouds: with both sensors, without the optical one, and with it alone.

A cloud follows from ``cloud_seed`` and the name of the chip; at a larger cover it grows, so that covers compare.
"""

import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from rich.progress import track

from floodseg.bands import Bands, Sensor, SensorSet
from floodseg.chips.chip import Chip, ChipSet
from floodseg.config.evaluate import ScoreConfig
from floodseg.distributed.join import OneProcess
from floodseg.errors import ConfigError
from floodseg.evaluation.methods import ChipResult, Method
from floodseg.evaluation.metrics.bootstrap import Difference, Pair, paired_difference
from floodseg.evaluation.metrics.counts import ChipScore, count, score_chips
from floodseg.simulate.clouds import cloud_mask, clouded_channels, cover_image, simulate_sky

if TYPE_CHECKING:
    from floodseg.distributed.processes import Processes


@dataclass(frozen=True, slots=True)
class CoveredChip:
    """What a method makes of one chip at one cover."""

    marked: int
    """Pixels of the optical image that the cloud mask marks."""
    pixels: int
    """Pixels of the optical image that were valid without clouds."""
    scores: Mapping[SensorSet, ChipScore]
    """By what the method was given: the sensors that it takes, and where it takes both, each alone."""
    fused_beside: Mapping[SensorSet, Pair]
    """Where it takes both: both beside each sensor alone, over the pixels that the latter sees."""


def check_clouds(method: Method, bands: Bands, config: ScoreConfig) -> None:
    """Refuse clouds where there is nothing that they could cover.

    Raises:
        ConfigError: the method takes no optical image, or the chips hold none that shows the flood.
    """
    given = ",".join(f"{cover:g}" for cover in config.cloud)
    if method.sensors == "sar":
        raise ConfigError(f"`cloud={given}`: '{method.name}' takes radar alone, which clouds do not hide; leave it out")
    if not clouded_channels(bands):
        held = "of before the flood alone" if bands.optical else "in use"
        raise ConfigError(
            f"`cloud={given}`: covers the optical image of the flood, and there is "
            f"{'an image' if bands.optical else 'none'} {held}; leave it out"
        )


def cloud_scores(
    method: Method, chips: ChipSet, config: ScoreConfig, processes: "OneProcess | Processes", title: str | None
) -> list[dict[str, Any]]:
    """Score a method at each cover; the processes share the chips.

    Returns:
        One object for each cover, in the order given: ``cover``, ``mask_quality``, ``masked_share`` (of the optical
        pixels), ``both``, ``sar`` and ``optical`` as far as the method takes them (the fields of ``score_chips``), and
        for a method of both ``fused_minus_sar``, ``fused_minus_optical`` and ``fused_minus_better``.
    """
    mine: list[list[CoveredChip]] = []
    show = title is not None and processes.main
    for index in track(processes.share(len(chips.names)), title or "", transient=True, disable=not show):
        mine.append(_under_clouds(method, chips.read(index), chips.bands, config))
    rows = processes.gather(mine, len(chips.names))
    return [
        {"cover": cover, "mask_quality": config.cloud_mask_quality, **_document([row[position] for row in rows])}
        for position, cover in enumerate(config.cloud)
    ]


def _under_clouds(method: Method, chip: Chip, bands: Bands, config: ScoreConfig) -> list[CoveredChip]:
    takes_both = method.sensors == "both" and bool(bands.sar)
    # clouds change nothing for radar alone
    radar = method.apply(_without(chip, "optical"), bands) if takes_both else None
    return [_at_cover(method, chip, bands, config, cover, radar) for cover in config.cloud]


def _at_cover(
    method: Method, chip: Chip, bands: Bands, config: ScoreConfig, cover: float, radar: ChipResult | None
) -> CoveredChip:
    covered, hidden = covered_chip(chip, bands, config, cover)
    optical = method.apply(_without(covered, "sar"), bands)
    pixels, lost = (int(np.count_nonzero(chip.optical_valid & where)) for where in (True, hidden))
    if radar is None:
        return CoveredChip(lost, pixels, {"optical": optical.score}, {})
    fused = method.apply(covered, bands)
    alone: dict[SensorSet, ChipResult] = {"sar": radar, "optical": optical}
    return CoveredChip(
        lost,
        pixels,
        {"both": fused.score, **{sensor: result.score for sensor, result in alone.items()}},
        {sensor: _pair(chip, fused, result) for sensor, result in alone.items()},
    )


def covered_chip(chip: Chip, bands: Bands, config: ScoreConfig, cover: float) -> tuple[Chip, NDArray[np.bool_]]:
    """Return a chip under a simulated cloud, and where the cloud mask marks it, (H, W).

    ``cover`` is the share of pixels with an opacity above 0.1, thin cloud included.
    """
    rng = np.random.default_rng((config.cloud_seed, zlib.crc32(chip.name.encode())))
    height, width = chip.label.shape
    cloud = simulate_sky(rng, height, width, cover)
    hidden = cloud_mask(cloud, config.cloud_mask_quality)
    valid = chip.optical_valid & ~hidden
    optical = np.where(valid, cover_image(chip.optical, cloud, bands), np.float32(0))
    return replace(chip, optical=optical, optical_valid=valid), hidden


def _without(chip: Chip, sensor: Sensor) -> Chip:
    nowhere = np.zeros_like(chip.sar_valid)
    return replace(chip, sar_valid=nowhere) if sensor == "sar" else replace(chip, optical_valid=nowhere)


def _pair(chip: Chip, fused: ChipResult, alone: ChipResult) -> Pair:
    valid = fused.valid & alone.valid
    first, second = (count(result.water, chip.label, valid) for result in (fused, alone))
    return Pair(chip.name, first, second)


def _document(chips: Sequence[CoveredChip]) -> dict[str, Any]:
    pixels = sum(chip.pixels for chip in chips)
    document: dict[str, Any] = {"masked_share": sum(chip.marked for chip in chips) / pixels if pixels else None}
    for sensors in chips[0].scores:
        document[sensors] = score_chips([chip.scores[sensors] for chip in chips])
    if chips[0].fused_beside:
        differences = {
            sensor: paired_difference([chip.fused_beside[sensor] for chip in chips]) for sensor in chips[0].fused_beside
        }
        document.update({f"fused_minus_{sensor}": each and each.to_json() for sensor, each in differences.items()})
        document["fused_minus_better"] = _against_better(differences.items())
    return document


def _against_better(differences: Iterable[tuple[SensorSet, Difference | None]]) -> dict[str, Any] | None:
    """Return the comparison with the sensor beside which fusion gains least, or loses most."""
    known = [(each.difference, sensor, each) for sensor, each in differences if each is not None]
    if not known:
        return None
    _, sensor, least = min(known, key=lambda item: item[0])
    return {"better": sensor, **least.to_json()}
