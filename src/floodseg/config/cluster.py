"""Every setting of mapping many scenes, declared once: the flags of ``floodseg predict-many``."""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from floodseg.config.base import Settings, WholeNumber, require
from floodseg.config.predict import MapConfig, SharedScene

_LOCAL = re.compile(r"local:([1-9]\d*)")
_SCHEDULER = re.compile(r"tcp://(?:[^\s/:\[\]]+|\[[0-9a-fA-F:.]+\]):\d{1,5}")
LEAST_MEMORY_GB = 1.0
"""Least memory of a worker: PyTorch, GDAL's cache of 256 MiB and the windows of one scene have to fit, a guess."""


@dataclass(frozen=True)
class ManyConfig(Settings):
    """Many scenes mapped by one model. What the list says of a scene comes before these flags."""

    out_dir: Path = Path("floods")
    """Folder of the overview; each scene has its own below it, in scenes/."""
    cluster: str = "local:1"
    """Who maps: local:N starts N workers on this machine, tcp://HOST:PORT asks a Dask scheduler."""
    memory_gb: float | None = None
    """Memory of each worker of local:N in GB, at which Dask ends it and maps its scene once more; by default the N-th
    part of the machine's. Workers of a scheduler have theirs from --memory-limit of dask worker."""
    split_rows: WholeNumber | None = None
    """Rows of windows after which a scene is split over several workers; by default a scene is one task."""
    retries: WholeNumber = 2
    """Times that a scene which failed is mapped once more, at the end."""
    wait_s: float = 300.0
    """Seconds to wait for a scheduler that does not answer, or has no worker."""
    shared: Annotated[SharedScene, Parameter(name="*")] = field(default_factory=SharedScene)
    mapping: Annotated[MapConfig, Parameter(name="*")] = field(default_factory=MapConfig)

    def __post_init__(self) -> None:
        super().__post_init__()
        require(
            bool(_LOCAL.fullmatch(self.cluster) or _SCHEDULER.fullmatch(self.cluster)),
            "cluster", self.cluster, "local:N, N workers on this machine, or tcp://HOST:PORT of a Dask scheduler",
        )  # fmt: skip
        if self.memory_gb is not None:
            require(
                self.workers is not None, "memory-gb", self.memory_gb,
                "left out with tcp://: give it to the workers, as dask worker --memory-limit",
            )  # fmt: skip
            require(self.memory_gb >= LEAST_MEMORY_GB, "memory-gb", self.memory_gb, f"at least {LEAST_MEMORY_GB:g}")
        require(self.split_rows is None or self.split_rows >= 1, "split-rows", self.split_rows, "at least 1")
        require(self.retries >= 0, "retries", self.retries, "0 or more")
        require(0 < self.wait_s < 1e6, "wait-s", self.wait_s, "above 0 and below a million")

    @property
    def workers(self) -> int | None:
        """The N of ``local:N``; None where a scheduler is asked."""
        local = _LOCAL.fullmatch(self.cluster)
        return int(local[1]) if local else None
