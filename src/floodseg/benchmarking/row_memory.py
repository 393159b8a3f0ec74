"""Peak memory of one row, measured in a new process."""

from importlib import import_module
from pathlib import Path

from floodseg.benchmarking.rounds import Workload, timed_call
from floodseg.benchmarking.rows import Row

_CALLS = 3
_PACKAGES = {"onnx": "onnxruntime", "openvino": "openvino"}


def peak_memory_mb(row: Row, workload: Workload) -> float:
    """Return the peak memory of a few calls in MB of 2**20 bytes.

    On a GPU it is the allocated memory, on a CPU the resident set size less that after all imports.
    """
    if row.runtime == "torch":
        from floodseg.benchmarking.torch_rows import simulated_batch

        simulated_batch(workload.batch_size, workload.size)  # imports packages before the measurement starts
    else:
        import_module(_PACKAGES[row.runtime])
    before = _resident_mb()
    call = timed_call(row, workload)
    for _ in range(_CALLS):
        call()
    allocated = _allocated_mb() if row.runtime == "torch" else None
    return _status_mb("VmHWM") - before if allocated is None else allocated


def _allocated_mb() -> float | None:
    import torch

    return torch.cuda.max_memory_allocated() / 2**20 if torch.cuda.is_available() else None


def _resident_mb() -> float:
    """Return the resident set size of this process, and reset its recorded peak."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    return _status_mb("VmRSS")


def _status_mb(name: str) -> float:
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    (kilobytes,) = (int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))
    return kilobytes / 1024
