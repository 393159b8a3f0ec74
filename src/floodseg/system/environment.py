"""Hardware and package versions of a run."""

import math
import os
import platform
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any


def affinity_cores() -> int:
    """Return the number of cores that the operating system lets this process run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def thread_limit(cgroups: Path = Path("/sys/fs/cgroup")) -> int:
    """Return the number of threads that this process may run at the same time.

    It is the minimum of :func:`affinity_cores`, the CPU quota of the control group (containers, batch systems; rounded
    up) and ``OMP_NUM_THREADS``, if set.
    """
    quotas = [quota for folder in _control_groups(cgroups) if (quota := _quota(folder)) is not None]
    omp_threads = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    limits = [math.ceil(quota) for quota in quotas] + ([int(omp_threads)] if omp_threads.isdecimal() else [])
    return max(1, min([affinity_cores(), *limits]))


def _control_groups(root: Path) -> list[Path]:
    """Return the folders of this process's control group and of its parents, which may limit CPU time."""
    try:
        lines = Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    folders = [root, root / "cpu"]
    for line in lines:
        _, controllers, path = line.split(":", 2)
        base = root if not controllers else root / "cpu"
        if not controllers or "cpu" in controllers.split(","):
            own = base / path.strip("/")
            folders += [own, *(parent for parent in own.parents if base in parent.parents)]
    return list(dict.fromkeys(folders))


def _quota(folder: Path) -> float | None:
    """Return the CPU quota of a control group in cores (cgroup version 2 or 1); None for no limit."""
    try:
        if (folder / "cpu.max").is_file():
            quota, period = (folder / "cpu.max").read_text(encoding="utf-8").split()
        else:
            quota = (folder / "cpu.cfs_quota_us").read_text(encoding="utf-8").strip()
            period = (folder / "cpu.cfs_period_us").read_text(encoding="utf-8").strip()
    except (OSError, ValueError):
        return None
    return int(quota) / int(period) if quota not in ("max", "-1") else None


def peak_memory_mb() -> float:
    """Return the peak resident memory in MB of this process or of one of its child processes, the larger one."""
    import resource  # POSIX only

    own, children = (resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return max(own, children) / 1024


def versions(
    packages: Sequence[str] = ("floodseg", "torch", "timm", "accelerate", "numpy", "rasterio"),
) -> dict[str, str]:
    """Return the versions of Python and of the installed ones among ``packages``."""
    from importlib.metadata import PackageNotFoundError, version  # slow to import

    found = {"python": platform.python_version()}
    for name in packages:
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


def hardware(cpuinfo: Path = Path("/proc/cpuinfo")) -> dict[str, Any]:
    """Return the names of the CPU and GPU, the allowed cores and PyTorch's number of threads."""
    import torch  # imported here because mapping without PyTorch imports this module

    lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines() if cpuinfo.is_file() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return {
        "cpu": models[0] if models else platform.machine(),
        "cores": affinity_cores(),
        "threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
    }


def cpu_computes_bf16(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Return True if this CPU has bf16 instructions; without them bf16 is emulated, slower than fp32."""
    if not cpuinfo.is_file():
        return False
    flags = cpuinfo.read_text(encoding="utf-8", errors="replace")
    return "avx512_bf16" in flags or "amx_bf16" in flags
