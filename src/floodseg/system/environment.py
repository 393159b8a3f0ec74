"""The machine and the packages of a run, which its numbers depend on."""

import math
import os
import platform
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any


def allowed_cores() -> int:
    """Return how many cores this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def usable_cores(cgroups: Path = Path("/sys/fs/cgroup")) -> int:
    """Return how many threads of this process may compute at once.

    It is the least of the cores that the process may run on, the share of processor time that its control group is
    granted (containers, batch systems; rounded up), and ``OMP_NUM_THREADS`` where that is set.
    """
    budget = allowed_cores()
    quotas = [quota for folder in _groups(cgroups) if (quota := _quota(folder)) is not None]
    given = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    limits = [math.ceil(quota) for quota in quotas] + ([int(given)] if given.isdecimal() else [])
    return max(1, min([budget, *limits]))


def _groups(root: Path) -> list[Path]:
    """Return the folders of the control groups that may limit processor time: own, and all above it."""
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
    """Return the cores' worth of time of a control group, by version 2 or 1 of the interface; None is no limit."""
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
    """Return the largest resident set so far, of this process or of one of its loader processes, in MB."""
    import resource  # on POSIX systems only; training is measured there

    own, children = (resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return max(own, children) / 1024


def versions(
    packages: Sequence[str] = ("floodseg", "torch", "timm", "accelerate", "numpy", "rasterio"),
) -> dict[str, str]:
    """Return the version of Python and of those of the packages that are installed."""
    from importlib.metadata import PackageNotFoundError, version  # a tenth of the time of floodseg --help

    found = {"python": platform.python_version()}
    for name in packages:
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


def hardware(cpuinfo: Path = Path("/proc/cpuinfo")) -> dict[str, Any]:
    """Return the processor, the cores that this process may use, and the GPU, if any."""
    import torch  # mapping without PyTorch imports this module, too

    lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines() if cpuinfo.is_file() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return {
        "cpu": models[0] if models else platform.machine(),
        "cores": allowed_cores(),
        "threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
    }


def cpu_computes_bf16(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Tell whether this CPU has bf16 instructions; elsewhere bf16 is emulated, slower than fp32."""
    if not cpuinfo.is_file():
        return False
    flags = cpuinfo.read_text(encoding="utf-8", errors="replace")
    return "avx512_bf16" in flags or "amx_bf16" in flags
