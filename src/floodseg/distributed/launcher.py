"""What launchers (``accelerate launch``, ``torchrun``, MPI) say in the environment; asking costs no heavy import."""

import os

_SIZES = ("WORLD_SIZE", "PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE")
"""Where launchers say how many processes they started (Accelerate reads the same)."""


def started_processes() -> int:
    """Return how many processes a launcher started; 1 without one."""
    return max(int(os.environ.get(name) or 1) for name in _SIZES)


def cpu_asked_for() -> bool:
    """Tell whether the CPU is to be used even where there is a GPU (``ACCELERATE_USE_CPU``)."""
    return os.environ.get("ACCELERATE_USE_CPU", "").lower() in ("1", "true", "yes", "y", "on", "t")
