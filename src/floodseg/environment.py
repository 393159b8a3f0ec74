"""Where a run took place: what a reader needs to judge its numbers, or to get them again."""

import os
import platform
import resource
from importlib.metadata import version
from pathlib import Path
from typing import Any


def peak_memory_mb() -> float:
    """Return the largest resident set so far, of this process or of one of its loader processes, in MB."""
    own, children = (resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return max(own, children) / 1024


def versions() -> dict[str, str]:
    """Return the version of Python and of the packages that decide about the numbers."""
    names = ("floodseg", "torch", "timm", "accelerate", "numpy", "rasterio")
    return {"python": platform.python_version(), **{name: version(name) for name in names}}


def hardware(cpuinfo: Path = Path("/proc/cpuinfo")) -> dict[str, Any]:
    """Return the processor, the cores that this process may use, and the GPU, if any."""
    import torch  # only here: what maps without torch asks for versions alone

    lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines() if cpuinfo.is_file() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return {
        "cpu": models[0] if models else platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
    }
