"""The ceiling of this processor: multiply-accumulates per second of large matrix products, bytes per second of copies.

    python benchmarks/roofline.py --json FILE

Beside them, for each model, the least time that one image of 512x512 pixels and 15 bands takes under that ceiling: its
multiply-accumulates at the speed of the products, plus the image read once at the speed of the copies.
"""

import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import torch
from cyclopts import App, Parameter
from report import report

from floodseg.app.cli import guarded
from floodseg.environment import usable_cores
from floodseg.release.benchmark.configuration import configurations
from floodseg.release.benchmark.subject import facts

app = App(help="The ceiling of this processor.", default_parameter=Parameter(consume_multiple=True))
_SIDE = 2048
_COPY_MB = 256
_IMAGE_BYTES = 15 * 512 * 512 * 4


@app.default
def roofline(
    *,
    threads: int = usable_cores(),
    repeats: int = 9,
    json_file: Annotated[Path | None, Parameter(name="--json")] = None,
) -> None:
    """Measure the ceilings.

    Parameters
    ----------
    threads
        Threads of every measurement.
    repeats
        Of each, the median counts.
    json_file
        Write the result as one JSON object.
    """
    torch.set_num_threads(threads)
    plain = torch.randn(_SIDE, _SIDE)
    half = plain.bfloat16()
    whole = torch.randint(-128, 127, (_SIDE, _SIDE), dtype=torch.int8)
    products: dict[str, Callable[[], object]] = {
        "fp32": lambda: plain @ plain,
        "bf16": lambda: half @ half,
        "int8": lambda: torch._int_mm(whole, whole),
    }
    macs_per_s = {name: _SIDE**3 / _seconds(work, repeats) for name, work in products.items()}
    source = torch.ones(_COPY_MB * 2**20 // 4)
    target = torch.empty_like(source)
    read_per_s = source.nbytes / _seconds(lambda: target.copy_(source), repeats)
    rows = configurations(("baseline", "efficient", "lite"), ("resnet34",), ())
    counted = {row.label.removesuffix("/torch/fp32"): facts(row).macs for row in rows}
    report(
        {
            "threads": threads,
            "gmac_per_s": {name: value / 1e9 for name, value in macs_per_s.items()},
            "copied_gb_per_s": read_per_s / 1e9,
            "gmac": {name: macs / 1e9 for name, macs in counted.items()},
            "least_ms": {
                name: {
                    precision: 1000 * (macs / speed + _IMAGE_BYTES / read_per_s)
                    for precision, speed in macs_per_s.items()
                }
                for name, macs in counted.items()
            },
        },
        json_file,
    )


def _seconds(work: Callable[[], object], repeats: int) -> float:
    times = []
    for _ in range(repeats + 2):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return statistics.median(times[2:])


if __name__ == "__main__":
    guarded(app)
