"""Number format that a run computes in."""

from typing import Literal

import torch

from floodseg.config.base import Precision
from floodseg.errors import ConfigError
from floodseg.system.environment import cpu_computes_bf16

Mixed = Literal["no", "bf16", "fp16"]
"""The names that Accelerate uses."""


def resolve_precision(precision: Precision, device_type: str) -> Mixed:
    """Return the mixed-precision mode for ``device_type`` (``cuda`` or ``cpu``).

    ``auto`` takes bf16 where the hardware computes it, fp16 (with loss scaling) on older GPUs, and fp32 otherwise.

    Raises:
        ConfigError: fp16 on a CPU, which has no fast path for it.
    """
    if precision == "auto":
        if device_type == "cuda":
            return "bf16" if torch.cuda.is_bf16_supported() else "fp16"
        return "bf16" if cpu_computes_bf16() else "no"
    if precision == "fp16" and device_type == "cpu":
        raise ConfigError("`precision=fp16` on a CPU: fp16 needs a GPU; use bf16, fp32 or auto")
    return "no" if precision == "fp32" else precision
