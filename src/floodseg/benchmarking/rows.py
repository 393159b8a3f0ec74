"""Rows of a benchmark table: architecture, encoder, runtime and precision."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from floodseg.config.base import Architecture
from floodseg.errors import ConfigError
from floodseg.system.extras import require_extra

Task = Literal["train", "infer"]
RuntimeName = Literal["torch", "onnx", "openvino"]
BenchmarkPrecision = Literal["fp32", "bf16", "fp16"]
RowPrecision = Literal["fp32", "bf16", "fp16", "int8"]
SmpName = Literal["smp-unet", "smp-deeplabv3plus"]
"""Networks of segmentation_models_pytorch that are compared with ours. All bands are channels of one input image."""

BASELINE = "baseline"
"""Model that all ratios refer to."""

SMP_ENCODER = "resnet34"
"""Encoder of these networks, the same as the default of ``efficient``, so that only the decoders differ."""

_EXPORT_PACKAGES = ("onnx", "onnxscript", "onnxruntime", "openvino", "nncf")

SAR_CHANNELS, OPTICAL_CHANNELS = 2, 13
"""Input channels: VV and VH, and all bands of level 1C."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the table."""

    model: Architecture | SmpName
    encoder: str | None
    runtime: RuntimeName
    precision: RowPrecision
    compiled: bool = False
    """Compiled by torch.compile."""

    @property
    def label(self) -> str:
        """Short name, unique among the rows of a run."""
        parts = (self.model, self.encoder, self.runtime, self.precision, "compiled" if self.compiled else None)
        return "/".join(part for part in parts if part)


def benchmark_rows(
    models: Sequence[Architecture | SmpName],
    encoders: Sequence[str],
    precisions: Sequence[BenchmarkPrecision],
    *,
    compiled: bool = False,
    runtimes: Sequence[RuntimeName] = ("torch",),
) -> list[Row]:
    """Return the rows of a run. PyTorch in fp32 is always included.

    Args:
        models: architectures, and networks of segmentation_models_pytorch. They must include the baseline, which the
            ratios refer to.
        encoders: encoders of ``efficient``.
        precisions: number formats of PyTorch.
        compiled: also measure each PyTorch row with torch.compile.
        runtimes: further runtimes, in fp32 and int8; OpenVINO also in bf16 if ``precisions`` includes it.

    Raises:
        ConfigError: the baseline is missing, a network does not take the bands, or a package that a network or a
            runtime needs is not installed.
    """
    if BASELINE not in models:
        raise ConfigError(f"`models={' '.join(models)}`: must include {BASELINE}, which the ratios refer to; add it")
    if "spectral" in models:
        raise ConfigError(
            f"`models={' '.join(models)}`: spectral takes six optical bands, but a benchmark compares networks on "
            f"{SAR_CHANNELS} radar and {OPTICAL_CHANNELS} optical bands; leave it out"
        )
    smp_names = [model for model in models if model in get_args(SmpName)]
    if smp_names:
        require_extra("benchmark", "segmentation_models_pytorch", purpose=f"`models={smp_names[0]}`")
    exported = [runtime for runtime in dict.fromkeys(runtimes) if runtime != "torch"]
    if exported:
        require_extra("export", *_EXPORT_PACKAGES, purpose=f"`runtimes={exported[0]}`")
    formats: list[RowPrecision] = list(dict.fromkeys(["fp32", *precisions]))
    variants: list[tuple[RuntimeName, RowPrecision, bool]] = [
        ("torch", precision, is_compiled)
        for is_compiled in ((False, True) if compiled else (False,))
        for precision in formats
    ]
    variants += [
        (runtime, precision, False)
        for runtime in exported
        for precision in get_args(RowPrecision)
        if precision in ("fp32", "int8") or (precision == "bf16" and precision in formats and runtime == "openvino")
    ]
    return [
        Row(model, encoder, runtime, precision, is_compiled)
        for runtime, precision, is_compiled in variants
        for model in dict.fromkeys(models)
        for encoder in _encoders(model, encoders)
    ]


def _encoders(model: Architecture | SmpName, encoders: Sequence[str]) -> list[str | None]:
    if model == "efficient":
        return list(dict.fromkeys(encoders))
    return [SMP_ENCODER if model in get_args(SmpName) else None]
