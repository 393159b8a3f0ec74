"""What is measured: one architecture with its encoder, in one runtime and precision."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from floodseg.config import Architecture
from floodseg.errors import ConfigError

Task = Literal["train", "infer"]
Runtime = Literal["torch"]
Precision = Literal["fp32", "bf16", "fp16"]

REFERENCE = "baseline"
"""What every ratio is taken to."""

SAR_CHANNELS, OPTICAL_CHANNELS = 2, 13
"""Both sensors, all bands of level 1C."""


@dataclass(frozen=True, slots=True)
class Configuration:
    """One row of the table."""

    model: Architecture
    encoder: str | None
    runtime: Runtime
    precision: Precision

    @property
    def label(self) -> str:
        """A short name, unique among the rows of a run."""
        return "/".join(part for part in (self.model, self.encoder, self.runtime, self.precision) if part)


def configurations(
    models: Sequence[Architecture], encoders: Sequence[str], precisions: Sequence[Precision]
) -> list[Configuration]:
    """Return the rows of a run; torch in fp32 is always among the precisions.

    Args:
        models: architectures; must hold the reference, without which there are no ratios.
        encoders: encoders of ``efficient``.
        precisions: number formats of torch.

    Raises:
        ConfigError: the reference is missing.
    """
    if REFERENCE not in models:
        raise ConfigError(f"--models {' '.join(models)}: must hold {REFERENCE}, which the ratios refer to; add it")
    formats: list[Precision] = ["fp32", *precisions]
    return [
        Configuration(model, encoder, "torch", precision)
        for precision in dict.fromkeys(formats)
        for model in dict.fromkeys(models)
        for encoder in (dict.fromkeys(encoders) if model == "efficient" else (None,))
    ]
