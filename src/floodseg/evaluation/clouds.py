"""Scores under simulated clouds, with both sensors and with each sensor only.

A cloud depends on ``cloud_seed`` and on the name of the chip. It grows with the cover, so that scores at different
covers can be compared.
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
from floodseg.distributed.launcher import SingleProcess
from floodseg.errors import ConfigError
from floodseg.evaluation.methods import ChipResult, Method
from floodseg.evaluation.metrics.bootstrap import Difference, Pair, paired_difference
from floodseg.evaluation.metrics.counts import ChipScore, count, score_chips
from floodseg.simulate.clouds import cloud_mask, clouded_channels, cover_image, simulate_sky

if TYPE_CHECKING:
    from floodseg.distributed.processes import Processes


@dataclass(frozen=True, slots=True)
class CloudedScores:
    """Scores of a method on one chip at one cloud cover."""

    masked_pixels: int
    """Optical pixels that the cloud mask marks."""
    valid_pixels: int
    """Optical pixels that are valid without clouds."""
    scores: Mapping[SensorSet, ChipScore]
    """Scores with the sensors of the method and, for a method of both, with each sensor only."""
    fused_pairs: Mapping[SensorSet, Pair]
    """For a method of both: counts with both sensors and with one only, over the valid pixels of that sensor."""


def check_clouds(method: Method, bands: Bands, config: ScoreConfig) -> None:
    """Refuse ``cloud`` without an optical image that clouds can cover.

    Raises:
        ConfigError: the method takes no optical image, or the chips hold none from after the flood.
    """
    covers = ",".join(f"{cover:g}" for cover in config.cloud)
    if method.sensors == "sar":
        raise ConfigError(
            f"`cloud={covers}`: needs optical images, but '{method.name}' takes only radar images; leave it out"
        )
    if not clouded_channels(bands):
        reason = "all optical bands in use are from before it" if bands.optical else "none is in use"
        raise ConfigError(f"`cloud={covers}`: needs an optical image from after the flood, but {reason}; leave it out")


def cloud_scores(
    method: Method, chips: ChipSet, config: ScoreConfig, processes: "SingleProcess | Processes", title: str | None
) -> list[dict[str, Any]]:
    """Score a method at each cover; the processes share the chips.

    Returns:
        One object for each cover, in the order of the settings. It has ``cover``, ``mask_quality``, ``masked_share``
        (of the optical pixels), and the fields of ``score_chips`` under ``both``, ``sar`` and ``optical`` if the
        method takes them. A method of both also has ``fused_minus_sar``, ``fused_minus_optical`` and
        ``fused_minus_better``.
    """
    own_rows: list[list[CloudedScores]] = []
    show = title is not None and processes.is_main
    for index in track(processes.share(len(chips.names)), title or "", transient=True, disable=not show):
        own_rows.append(_score_covers(method, chips.read(index), chips.bands, config))
    rows = processes.gather(own_rows, len(chips.names))
    return [
        {"cover": cover, "mask_quality": config.cloud_mask_quality, **_document([row[position] for row in rows])}
        for position, cover in enumerate(config.cloud)
    ]


def _score_covers(method: Method, chip: Chip, bands: Bands, config: ScoreConfig) -> list[CloudedScores]:
    takes_both = method.sensors == "both" and bool(bands.sar)
    # clouds do not change the radar image, so it is scored once
    radar = method.apply(_without(chip, "optical"), bands) if takes_both else None
    return [_score_cover(method, chip, bands, config, cover, radar) for cover in config.cloud]


def _score_cover(
    method: Method, chip: Chip, bands: Bands, config: ScoreConfig, cover: float, radar: ChipResult | None
) -> CloudedScores:
    clouded, cloud_masked = clouded_chip(chip, bands, config, cover)
    optical = method.apply(_without(clouded, "sar"), bands)
    valid_pixels = int(np.count_nonzero(chip.optical_valid))
    masked_pixels = int(np.count_nonzero(chip.optical_valid & cloud_masked))
    if radar is None:
        return CloudedScores(masked_pixels, valid_pixels, {"optical": optical.score}, {})
    fused = method.apply(clouded, bands)
    single: dict[SensorSet, ChipResult] = {"sar": radar, "optical": optical}
    return CloudedScores(
        masked_pixels,
        valid_pixels,
        {"both": fused.score, **{sensor: result.score for sensor, result in single.items()}},
        {sensor: _pair(chip, fused, result) for sensor, result in single.items()},
    )


def clouded_chip(chip: Chip, bands: Bands, config: ScoreConfig, cover: float) -> tuple[Chip, NDArray[np.bool_]]:
    """Return a chip under a simulated cloud, and its cloud mask (H, W).

    ``cover`` is the share of pixels with an opacity above 0.1, which includes thin cloud.
    """
    rng = np.random.default_rng((config.cloud_seed, zlib.crc32(chip.name.encode())))
    height, width = chip.label.shape
    cloud = simulate_sky(rng, height, width, cover)
    masked = cloud_mask(cloud, config.cloud_mask_quality)
    valid = chip.optical_valid & ~masked
    optical = np.where(valid, cover_image(chip.optical, cloud, bands), np.float32(0))
    return replace(chip, optical=optical, optical_valid=valid), masked


def _without(chip: Chip, sensor: Sensor) -> Chip:
    invalid = np.zeros_like(chip.sar_valid)
    return replace(chip, sar_valid=invalid) if sensor == "sar" else replace(chip, optical_valid=invalid)


def _pair(chip: Chip, fused: ChipResult, single: ChipResult) -> Pair:
    valid = fused.valid & single.valid
    first, second = (count(result.water, chip.label, valid) for result in (fused, single))
    return Pair(chip.name, first, second)


def _document(chips: Sequence[CloudedScores]) -> dict[str, Any]:
    valid, masked = (sum(getattr(chip, name) for chip in chips) for name in ("valid_pixels", "masked_pixels"))
    document: dict[str, Any] = {"masked_share": masked / valid if valid else None}
    for sensors in chips[0].scores:
        document[sensors] = score_chips([chip.scores[sensors] for chip in chips])
    if chips[0].fused_pairs:
        differences = {
            sensor: paired_difference([chip.fused_pairs[sensor] for chip in chips]) for sensor in chips[0].fused_pairs
        }
        document.update({f"fused_minus_{sensor}": each and each.to_json() for sensor, each in differences.items()})
        document["fused_minus_better"] = _against_better(differences.items())
    return document


def _against_better(differences: Iterable[tuple[SensorSet, Difference | None]]) -> dict[str, Any] | None:
    """Return the comparison with the better single sensor: the one over which fusion gains least or loses most."""
    known = [(each.difference, sensor, each) for sensor, each in differences if each is not None]
    if not known:
        return None
    _, sensor, least = min(known, key=lambda item: item[0])
    return {"better": sensor, **least.to_json()}
