"""What is measured: one architecture with its encoder, in one runtime and precision."""

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
"""Networks of segmentation_models_pytorch with its resnet34, all bands as the channels of one image."""

BASELINE = "baseline"
"""What every ratio is taken to."""

PEER_ENCODER = "resnet34"
"""The default encoder of ``efficient``, for a comparison of what is built around it."""

_EXPORT_PACKAGES = ("onnx", "onnxscript", "onnxruntime", "openvino", "nncf")

SAR_CHANNELS, OPTICAL_CHANNELS = 2, 13
"""Both sensors, all bands of level 1C."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the table."""

    model: Architecture | Peer
    encoder: str | None
    runtime: Runtime
    precision: RowPrecision
    compiled: bool = False
    """By torch.compile."""

    @property
    def label(self) -> str:
        """A short name, unique among the rows of a run."""
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
    """Return the rows of a run; torch in fp32 is always among the precisions.

    Args:
        models: architectures and peers; must hold the reference, without which there are no ratios.
        encoders: encoders of ``efficient``.
        precisions: number formats of torch.
        compiled: whether each row is also measured as torch.compile makes it.
        runtimes: beside torch, which is always there, formats of ``floodseg export``: in fp32 and int8, and OpenVINO
            in bf16 where ``precisions`` has it.

    Raises:
        ConfigError: the reference is missing, or a package that a peer or a runtime needs.
    """
    if BASELINE not in models:
        raise ConfigError(f"`models={' '.join(models)}`: must hold {BASELINE}, which the ratios refer to; add it")
    peers = [model for model in models if model in get_args(Peer)]
    if peers:
        require_extra("benchmark", "segmentation_models_pytorch", purpose=f"`models={peers[0]}`")
    exported = [runtime for runtime in dict.fromkeys(runtimes) if runtime != "torch"]
    if exported:
        require_extra("export", *_EXPORT_PACKAGES, purpose=f"`runtimes={exported[0]}`")
    formats: list[RowPrecision] = list(dict.fromkeys(["fp32", *precisions]))
    ways: list[tuple[Runtime, RowPrecision, bool]] = [
        ("torch", precision, by_compiler)
        for by_compiler in ((False, True) if compiled else (False,))
        for precision in formats
    ]
    ways += [
        (runtime, precision, False)
        for runtime in exported
        for precision in get_args(RowPrecision)
        if precision in ("fp32", "int8") or (precision == "bf16" and precision in formats and runtime == "openvino")
    ]
    return [
        Row(model, encoder, runtime, precision, by_compiler)
        for runtime, precision, by_compiler in ways
        for model in dict.fromkeys(models)
        for encoder in _encoders(model, encoders)
    ]


def _encoders(model: Architecture | Peer, encoders: Sequence[str]) -> list[str | None]:
    if model == "efficient":
        return list(dict.fromkeys(encoders))
    return [PEER_ENCODER if model in get_args(Peer) else None]
