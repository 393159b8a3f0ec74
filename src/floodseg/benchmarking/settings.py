"""Settings of the benchmarks, as flags; apart from what measures, which imports a lot."""

from dataclasses import dataclass, field
from pathlib import Path

from floodseg.bands import SensorSet
from floodseg.benchmarking.rows import Peer, Precision, Runtime
from floodseg.config.base import Architecture, WholeNumber, require
from floodseg.config.predict import MapConfig
from floodseg.errors import ConfigError
from floodseg.system.environment import allowed_cores


@dataclass(frozen=True)
class BenchmarkConfig:
    """What is measured, and how often."""

    models: tuple[Architecture | Peer, ...] = ("baseline", "efficient", "lite")
    """Architectures, and peers of the extra 'benchmark'; the baseline is what the others are compared with."""
    encoders: tuple[str, ...] = ("resnet34",)
    """Encoders of 'efficient'."""
    precisions: tuple[Precision, ...] = ("fp32",)
    """Number formats; fp32 is always measured."""
    runtimes: tuple[Runtime, ...] = ("torch",)
    """What runs the models: PyTorch always, and formats of floodseg export (in inference), in fp32 and int8, OpenVINO
    in bf16 too where --precisions has it."""
    compiled: bool = False
    """Measure each row a second time, by torch.compile; its first call is in the result, too."""
    rounds: WholeNumber = 15
    """Timed calls of each row, taken in turn."""
    batch_size: WholeNumber | None = None
    """Images in a call; by default 4 in training and 1 in inference."""
    memory_batch_size: WholeNumber = 8
    """Images in a training step when its peak memory is taken."""
    size: WholeNumber | None = None
    """Height and width of the images in pixels; by default 256 in training and 512 in inference."""
    threads: WholeNumber = field(default_factory=allowed_cores)
    """Threads of every row."""

    def __post_init__(self) -> None:
        for name in ("rounds", "batch_size", "memory_batch_size", "threads"):
            value = getattr(self, name)
            require(value is None or value >= 1, name, value, "at least 1")
        require(self.size is None or self.size >= 32, "size", self.size, "at least 32 pixels")


@dataclass(frozen=True)
class SceneBenchmarkConfig:
    """Which scenes are mapped, and how."""

    sizes: tuple[WholeNumber, ...] = (5490, 10980)
    """Height and width of the scenes in pixels."""
    sensors: SensorSet = "both"
    """Images of the scene."""
    model: Architecture = "lite"
    """Architecture, untrained: speed does not depend on what the weights are."""
    tile_size: WholeNumber = MapConfig.tile_size
    """As in floodseg predict."""
    threads: WholeNumber = field(default_factory=allowed_cores)
    """As in floodseg predict."""
    folder: Path | None = None
    """Where scenes and products are written for the time being; by default the system's temporary folder."""

    def __post_init__(self) -> None:
        for size in self.sizes:
            require(size >= 64, "sizes", size, "at least 64 pixels")
        require(self.threads >= 1, "threads", self.threads, "at least 1")
        if not self.sizes:
            raise ConfigError("`sizes`: needs at least one size in pixels")
