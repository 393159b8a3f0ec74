"""Settings of mapping many scenes: the flags of ``floodseg predict-many``."""

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
"""Least memory of a worker; a rough bound for the runtime, GDAL's cache of 256 MiB and the windows of one scene."""


@dataclass(frozen=True)
class ManyConfig(Settings):
    """Many scenes mapped by one model. Settings of a scene in the list take precedence over these flags."""

    out_dir: Path = Path("floods")
    """Folder of the overview; each scene has its own below it, in scenes/."""
    cluster: str = "local:1"
    """Workers that map: local:N starts N workers on this machine, tcp://HOST:PORT uses those of a Dask scheduler."""
    memory_gb: float | None = None
    """Memory of each worker of local:N in GB, at which Dask ends it and maps its scene again; by default the N-th part
    of the machine's. Workers of a scheduler have the memory that dask worker --memory-limit gives them."""
    retries: WholeNumber = 2
    """Times that a scene which failed is tried again."""
    wait_s: float = 300.0
    """Seconds to wait for a scheduler that does not answer, or that has no worker."""
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
                self.workers is not None, "memory_gb", self.memory_gb,
                "left out with tcp://: give it to the workers, as dask worker --memory-limit",
            )  # fmt: skip
            require(self.memory_gb >= LEAST_MEMORY_GB, "memory_gb", self.memory_gb, f"at least {LEAST_MEMORY_GB:g}")
        require(self.retries >= 0, "retries", self.retries, "0 or more")
        require(0 < self.wait_s < 1e6, "wait_s", self.wait_s, "above 0 and below a million")

    @property
    def workers(self) -> int | None:
        """The N of ``local:N``; None for the workers of a scheduler."""
        local = _LOCAL.fullmatch(self.cluster)
        return int(local[1]) if local else None
