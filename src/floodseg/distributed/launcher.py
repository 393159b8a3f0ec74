"""Processes that a launcher (``torchrun``, ``accelerate launch``, MPI) started.

A single process does not import PyTorch.
"""

import os
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, TypeVar

from floodseg.system.extras import require_extra

if TYPE_CHECKING:
    from floodseg.distributed.processes import Processes

T = TypeVar("T")

_SIZES = ("WORLD_SIZE", "PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE")
"""Environment variables with the number of processes, as read by Accelerate."""
_LOCAL_RANKS = ("LOCAL_RANK", "MPI_LOCALRANKID", "OMPI_COMM_WORLD_LOCAL_RANK", "MV2_COMM_WORLD_LOCAL_RANK")
"""Environment variables with the index of this process on its host, as read by Accelerate."""


def started_processes() -> int:
    """Return the number of processes that a launcher started; 1 without a launcher."""
    return max(int(os.environ.get(name) or 1) for name in _SIZES)


def is_first_on_host() -> bool:
    """Return True for the first process that a launcher started on this host, and without a launcher."""
    return not any(int(os.environ.get(name) or 0) for name in _LOCAL_RANKS)


def is_connected() -> bool:
    """Return True if this process is connected to the other processes of its run."""
    distributed = sys.modules.get("torch.distributed")
    return distributed is not None and distributed.is_available() and distributed.is_initialized()


def cpu_is_forced() -> bool:
    """Return True if ``ACCELERATE_USE_CPU`` selects the CPU on a machine with a GPU."""
    return os.environ.get("ACCELERATE_USE_CPU", "").lower() in ("1", "true", "yes", "y", "on", "t")


class SingleProcess:
    """A single process, with the interface of :class:`floodseg.distributed.processes.Processes`."""

    is_main = True
    world_size = 1

    def share(self, item_count: int) -> range:
        """Return the indices of all ``item_count`` items."""
        return range(item_count)

    def gather_one(self, result: T) -> list[T]:
        """Return the result of this process."""
        return [result]

    def gather(self, results: Sequence[T], item_count: int) -> list[T]:
        """Return the results for all ``item_count`` items."""
        return list(results)

    def reporting_lost_processes(self) -> AbstractContextManager[None]:
        """Return a context without effect."""
        return nullcontext()

    def run_on_main(self, compute: Callable[[], T]) -> T:
        """Return the result of ``compute``."""
        return compute()


def connect_processes() -> "SingleProcess | Processes":
    """Return the connected processes that a launcher started, or a single process.

    Raises:
        ConfigError: the launcher started several processes that do not find each other, or that lack PyTorch.
    """
    if started_processes() == 1:
        return SingleProcess()
    require_extra("train", "torch", "accelerate", purpose="an evaluation in several processes")
    from floodseg.distributed.processes import Processes

    return Processes()


def disconnect_processes() -> None:
    """Disconnect from the other processes at the end of a command."""
    if is_connected():
        from torch import distributed

        distributed.destroy_process_group()
