"""Threshold and simulated clouds of ``floodseg evaluate``."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from cyclopts import CoercionError, Parameter, Token

from floodseg.config.base import CloudMaskQuality, Integer, Settings, require, require_setting


def _parse_covers(_: Any, tokens: Sequence[Token]) -> tuple[float, ...]:
    """Parse cloud covers separated by commas, spaces or both."""
    covers: list[float] = []
    for token in tokens:
        try:
            covers.extend(float(word) for word in token.value.split(","))
        except ValueError as error:
            raise CoercionError(token=token, target_type=float) from error
    return tuple(covers)


@dataclass(frozen=True)
class ScoreConfig(Settings):
    """Threshold and simulated clouds of an evaluation."""

    threshold: float | None = None
    """Smallest probability that counts as water, for all pixels. By default the model's own thresholds, one for radar,
    one for optical and one for both, which were chosen on its validation split."""
    cloud: Annotated[tuple[float, ...], Parameter(converter=_parse_covers)] = ()
    """Shares of cloud cover, such as 0,0.25,1. For each share, the model is scored again with simulated clouds over
    that share of every optical image."""
    cloud_mask_quality: CloudMaskQuality = "perfect"
    """Simulated cloud mask: it marks clouds and shadows (perfect), opaque clouds only (thin-missed), or nothing
    (none)."""
    cloud_seed: Integer = 0
    """Seed of the simulated clouds. The clouds of a chip depend on this seed and the name of the chip."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.threshold is None or 0 < self.threshold < 1, "threshold", self.threshold, "above 0 and below 1")
        object.__setattr__(self, "cloud", tuple(float(cover) for cover in self.cloud))
        for cover in self.cloud:
            require(0 <= cover <= 1, "cloud", cover, "shares from 0 (clear) to 1 (overcast)")
        require(
            len(set(self.cloud)) == len(self.cloud), "cloud", ",".join(map(str, self.cloud)), "shares that all differ"
        )
        require(self.cloud_seed >= 0, "cloud_seed", self.cloud_seed, "0 or more")
        require_setting(self, "cloud", "cloud_mask_quality", "cloud_seed")
