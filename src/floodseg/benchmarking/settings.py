"""Settings of ``floodseg benchmark``, in a module that imports no heavy packages."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from floodseg.bands import SensorSet
from floodseg.benchmarking.rows import BenchmarkPrecision, RuntimeName, SmpName
from floodseg.config.base import Architecture, Integer, Settings, require
from floodseg.config.predict import MapConfig
from floodseg.errors import ConfigError
from floodseg.system.environment import affinity_cores


@dataclass(frozen=True)
class BenchmarkConfig(Settings):
    """Settings of ``floodseg benchmark train`` and ``infer``."""

    models: tuple[Architecture | SmpName, ...] = ("baseline", "efficient", "lite")
    """Models to measure: architectures, and networks of segmentation_models_pytorch (smp-...). They must include
    baseline, which the ratios refer to."""
    encoders: tuple[str, ...] = ("resnet34",)
    """Encoders of 'efficient'."""
    precisions: tuple[BenchmarkPrecision, ...] = ("fp32",)
    """Number formats in PyTorch. fp32 is always measured."""
    runtimes: tuple[RuntimeName, ...] = ("torch",)
    """Runtimes. PyTorch is always measured. onnx and openvino (inference only) are measured in fp32 and int8; openvino
    also in bf16 if --precisions includes it."""
    compiled: bool = False
    """Measure each model in PyTorch a second time with torch.compile."""
    rounds: Integer = 15
    """Number of timed calls of each model. The models are called in turn."""
    batch_size: Integer | None = None
    """Images per call."""
    memory_batch_size: Integer = 8
    """Images per training step for the measurement of peak memory."""
    size: Integer | None = None
    """Height and width of the images in pixels."""
    threads: Integer = field(default_factory=affinity_cores)
    """Threads of each model."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("rounds", "batch_size", "memory_batch_size", "threads"):
            value = getattr(self, name)
            require(value is None or value >= 1, name, value, "at least 1")
        require(self.size is None or self.size >= 32, "size", self.size, "at least 32 pixels")


@dataclass(frozen=True)
class TrainingBenchmarkConfig(BenchmarkConfig):
    """Settings of ``floodseg benchmark train``. Its help omits the setting that has an effect only in inference."""

    runtimes: Annotated[tuple[RuntimeName, ...], Parameter(show=False)] = BenchmarkConfig.runtimes
    batch_size: Integer | None = None
    """Images per call. By default 4."""
    size: Integer | None = None
    """Height and width of the images in pixels. By default 256."""


@dataclass(frozen=True)
class InferenceBenchmarkConfig(BenchmarkConfig):
    """Settings of ``floodseg benchmark infer``. Its help omits the setting that has an effect only in training."""

    batch_size: Integer | None = None
    """Images per call. By default 1."""
    size: Integer | None = None
    """Height and width of the images in pixels. By default 512."""

    memory_batch_size: Annotated[Integer, Parameter(show=False)] = BenchmarkConfig.memory_batch_size


@dataclass(frozen=True)
class SceneBenchmarkConfig(Settings):
    """Settings of ``floodseg benchmark scene``."""

    sizes: tuple[Integer, ...] = (5490, 10980)
    """Height and width of the scenes in pixels."""
    sensors: SensorSet = "both"
    """Sensors of the scenes."""
    model: Architecture = "lite"
    """Architecture. Its weights are random, since speed does not depend on them."""
    tile_size: Integer = MapConfig.tile_size
    """Side of a tile in pixels, as in floodseg predict."""
    threads: Integer = field(default_factory=affinity_cores)
    """Number of windows that are processed at the same time, as in floodseg predict."""
    folder: Path | None = None
    """Folder for scenes and products, which are removed afterwards. By default the system's temporary folder."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for size in self.sizes:
            require(size >= 64, "sizes", size, "at least 64 pixels")
        require(self.threads >= 1, "threads", self.threads, "at least 1")
        if not self.sizes:
            raise ConfigError("`sizes`: must hold at least one size in pixels")
