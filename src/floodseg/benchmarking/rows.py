"""Rows of a benchmark table: architecture, encoder, runtime and precision."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from floodseg.config.base import Architecture
from floodseg.errors import ConfigError
from floodseg.system.extras import require_extra

Task = Literal["train", "infer"]
Runtime = Literal["torch", "onnx", "openvino"]
Precision = Literal["fp32", "bf16", "fp16"]
RowPrecision = Literal["fp32", "bf16", "fp16", "int8"]
Peer = Literal["smp-unet", "smp-deeplabv3plus"]
"""Networks of segmentation_models_pytorch that are compared with ours. All bands are channels of one input image."""

BASELINE = "baseline"
"""Model that all ratios refer to."""

PEER_ENCODER = "resnet34"
"""Encoder of the peers, the same as the default of ``efficient``, so that only the decoders differ."""

_EXPORT_PACKAGES = ("onnx", "onnxscript", "onnxruntime", "openvino", "nncf")

SAR_CHANNELS, OPTICAL_CHANNELS = 2, 13
"""Input channels: VV and VH, and all bands of level 1C."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the table."""

    model: Architecture | Peer
    encoder: str | None
    runtime: Runtime
    precision: RowPrecision
    compiled: bool = False
    """Compiled by torch.compile."""

    @property
    def label(self) -> str:
        """Short name, unique among the rows of a run."""
        parts = (self.model, self.encoder, self.runtime, self.precision, "compiled" if self.compiled else None)
        return "/".join(part for part in parts if part)


def benchmark_rows(
    models: Sequence[Architecture | Peer],
    encoders: Sequence[str],
    precisions: Sequence[Precision],
    *,
    compiled: bool = False,
    runtimes: Sequence[Runtime] = ("torch",),
) -> list[Row]:
    """Return the rows of a run. PyTorch in fp32 is always included.

    Args:
        models: architectures and peers. They must include the baseline, which the ratios refer to.
        encoders: encoders of ``efficient``.
        precisions: number formats of PyTorch.
        compiled: also measure each PyTorch row with torch.compile.
        runtimes: further runtimes, in fp32 and int8; OpenVINO also in bf16 if ``precisions`` includes it.

    Raises:
        ConfigError: the baseline is missing, or a package that a peer or a runtime needs is not installed.
    """
    if BASELINE not in models:
        raise ConfigError(f"`models={' '.join(models)}`: must include {BASELINE}, which the ratios refer to; add it")
    peers = [model for model in models if model in get_args(Peer)]
    if peers:
        require_extra("benchmark", "segmentation_models_pytorch", purpose=f"`models={peers[0]}`")
    exported = [runtime for runtime in dict.fromkeys(runtimes) if runtime != "torch"]
    if exported:
        require_extra("export", *_EXPORT_PACKAGES, purpose=f"`runtimes={exported[0]}`")
    formats: list[RowPrecision] = list(dict.fromkeys(["fp32", *precisions]))
    variants: list[tuple[Runtime, RowPrecision, bool]] = [
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


def _encoders(model: Architecture | Peer, encoders: Sequence[str]) -> list[str | None]:
    if model == "efficient":
        return list(dict.fromkeys(encoders))
    return [PEER_ENCODER if model in get_args(Peer) else None]
