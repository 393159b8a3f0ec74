"""Settings of ``floodseg predict-many``."""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from floodseg.config.base import Integer, Settings, require
from floodseg.config.predict import MapConfig, SharedScene
from floodseg.errors import ConfigError

_LOCAL = re.compile(r"local:([1-9]\d*)")
_SCHEDULER = re.compile(r"tcp://(?:[^\s/:\[\]]+|\[[0-9a-fA-F:.]+\]):\d{1,5}")
MIN_WORKER_MEMORY_GB = 1.0
"""Smallest memory of a worker: a rough bound for the runtime, GDAL's cache (256 MiB) and the windows of one scene."""


@dataclass(frozen=True)
class WorkerMapConfig(MapConfig):
    """Settings of mapping on the workers of a cluster."""

    threads: Integer | None = None
    """Number of windows that each worker processes at the same time, one per thread. By default the number of cores
    divided by N with --cluster local:N, and 1 with a scheduler."""


@dataclass(frozen=True)
class ManyConfig(Settings):
    """Settings of a run over many scenes. Settings in the list of scenes take precedence over the flags."""

    out_dir: Path = Path("floods")
    """Folder of the STAC collection, the index and the mosaics. The products of each scene go to its subfolder
    scenes/ID."""
    cluster: str = "local:1"
    """Workers that map the scenes. local:N starts N workers on this machine; tcp://HOST:PORT uses the workers of a
    Dask scheduler."""
    memory_gb: float | None = None
    """Memory limit in GB of each worker of local:N. Dask restarts a worker that exceeds it, and its scene is mapped
    again. By default the workers share the memory of the machine equally. For the workers of a scheduler, set the
    limit with dask worker --memory-limit."""
    retries: Integer = 2
    """Number of times that a failed scene is tried again."""
    wait_s: float = 300.0
    """Longest time in seconds to wait for a scheduler to answer, or for a worker to connect to it."""
    shared: Annotated[SharedScene, Parameter(name="*")] = field(default_factory=SharedScene)
    mapping: Annotated[WorkerMapConfig, Parameter(name="*")] = field(default_factory=WorkerMapConfig)

    def __post_init__(self) -> None:
        super().__post_init__()
        require(
            bool(_LOCAL.fullmatch(self.cluster) or _SCHEDULER.fullmatch(self.cluster)),
            "cluster", self.cluster, "local:N (N workers on this machine) or tcp://HOST:PORT (a Dask scheduler)",
        )  # fmt: skip
        if self.memory_gb is not None:
            if self.workers is None:
                raise ConfigError(
                    f"`memory_gb={self.memory_gb}`: has no effect with `cluster=tcp://...`; leave it out, and start "
                    "the workers with dask worker --memory-limit"
                )
            least = MIN_WORKER_MEMORY_GB
            require(self.memory_gb >= least, "memory_gb", self.memory_gb, f"at least {least:g}")
        require(self.retries >= 0, "retries", self.retries, "0 or more")
        require(0 < self.wait_s < 1e6, "wait_s", self.wait_s, "above 0 and below a million")

    @property
    def workers(self) -> int | None:
        """Number of workers on this machine (the N of ``local:N``); None for the workers of a scheduler."""
        local = _LOCAL.fullmatch(self.cluster)
        return int(local[1]) if local else None
