"""Settings of ``floodseg evaluate`` beside those of the data."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from cyclopts import CoercionError, Parameter, Token

from floodseg.config.base import CloudMask, Settings, WholeNumber, require


def _covers(_: Any, tokens: Sequence[Token]) -> tuple[float, ...]:
    """Read ``0,0.1,0.5`` as well as ``0 0.1 0.5``."""
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
    """Smallest probability that counts as water, for all sensors; by default the threshold that was chosen on the
    model's validation split."""
    cloud: Annotated[tuple[float, ...], Parameter(converter=_covers)] = ()
    """Repeat the scores under simulated clouds that cover these shares of each optical image: 0,0.1,0.25,0.5,0.75,1."""
    cloud_mask_quality: CloudMask = "perfect"
    """Part of the simulated clouds that the cloud mask marks: clouds and shadows (perfect), opaque cloud only
    (thin-missed), or nothing (none)."""
    cloud_seed: WholeNumber = 0
    """Seed of the simulated clouds. The clouds of a chip depend on this seed and the chip's name."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.threshold is None or 0 < self.threshold < 1, "threshold", self.threshold, "above 0 and below 1")
        object.__setattr__(self, "cloud", tuple(float(cover) for cover in self.cloud))
        for cover in self.cloud:
            require(0 <= cover <= 1, "cloud", cover, "shares from 0 (clear) to 1 (overcast)")
        require(len(set(self.cloud)) == len(self.cloud), "cloud", ",".join(map(str, self.cloud)), "different shares")
        require(self.cloud_seed >= 0, "cloud_seed", self.cloud_seed, "0 or more")
        for name in ("cloud_mask_quality", "cloud_seed"):
            value = getattr(self, name)
            require(
                bool(self.cloud) or value == getattr(ScoreConfig, name),
                name, value, "given with `cloud`, without which it does nothing",
            )  # fmt: skip
