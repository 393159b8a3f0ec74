"""Environment variables of launchers (``torchrun``, ``accelerate launch``, MPI), read without importing PyTorch."""

import os
import sys

_SIZES = ("WORLD_SIZE", "PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE")
_LOCAL_RANKS = ("LOCAL_RANK", "MPI_LOCALRANKID", "OMPI_COMM_WORLD_LOCAL_RANK", "MV2_COMM_WORLD_LOCAL_RANK")
"""The same variables that Accelerate reads."""


def started_processes() -> int:
    """Return how many processes a launcher started; 1 without one."""
    return max(int(os.environ.get(name) or 1) for name in _SIZES)


def is_first_on_host() -> bool:
    """Return whether this is the first of the processes that a launcher started on this host; True without one."""
    return not any(int(os.environ.get(name) or 0) for name in _LOCAL_RANKS)


def is_joined() -> bool:
    """Return whether this process is connected to the others of its run."""
    distributed = sys.modules.get("torch.distributed")
    return distributed is not None and distributed.is_available() and distributed.is_initialized()


def cpu_asked_for() -> bool:
    """Return whether the CPU is to be used even where there is a GPU (``ACCELERATE_USE_CPU``)."""
    return os.environ.get("ACCELERATE_USE_CPU", "").lower() in ("1", "true", "yes", "y", "on", "t")
