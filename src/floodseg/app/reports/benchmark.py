"""Terminal reports and JSON files of the benchmarks."""

import json
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from floodseg.benchmarking.rows import Task
from floodseg.benchmarking.run import benchmark, regressions
from floodseg.benchmarking.scene import benchmark_scene
from floodseg.benchmarking.settings import BenchmarkConfig, SceneBenchmarkConfig
from floodseg.errors import DataError, FloodsegError
from floodseg.messages import percent
from floodseg.system.files import require_writable, write_text


def report_benchmark(task: Task, config: BenchmarkConfig, json_file: Path | None, compare: Path | None) -> None:
    """Run a benchmark of models, print a table and write the JSON file.

    Raises:
        FloodsegError: a ratio is clearly worse than in ``compare``.
    """
    before = None if compare is None else _read(compare)
    if json_file is not None:
        require_writable(json_file, "json")
    console = Console(highlight=False)
    with console.status("") as status:
        document = benchmark(task, config, status.update)
    _print_rows(console, task, document)
    _write(json_file, document)
    worse = [] if before is None else regressions(document, before)
    if worse:
        raise FloodsegError(
            f"these ratios are worse than in {compare}: {'; '.join(worse)}; find the cause, or measure again on an "
            "idle machine"
        )


def report_scenes(config: SceneBenchmarkConfig, json_file: Path | None) -> None:
    """Run the benchmark of scenes, print a table and write the JSON file."""
    if json_file is not None:
        require_writable(json_file, "json")
    console = Console(highlight=False)
    with console.status("") as status:
        document = benchmark_scene(config, status.update)
    table = Table(
        "size", "Mpx/s", "seconds", "time / ideal time", "reading", "mapping", "writing", "peak MB", box=SIMPLE_HEAD
    )
    for row in document["rows"]:
        cpu = row["cpu_seconds"]
        total = sum(cpu.values())
        shares = (percent(cpu[name] / total, 0) for name in ("reading", "mapping", "writing"))
        table.add_row(
            str(row["size"]), f"{row['megapixels_per_s']:.2f}", f"{row['wall_seconds']:.1f}",
            f"{row['wall_to_ideal']:.2f}", *shares, f"{row['peak_pss_mb']:.0f}",
        )  # fmt: skip
    console.print(table)
    _write(json_file, document)


def _print_rows(console: Console, task: Task, document: dict[str, Any]) -> None:
    measures = ("images/s", "peak MB") if task == "train" else ("ms", "ms, 90th percentile", "peak MB")
    table = Table(
        "model", "runtime", "precision", "parameters", "GMAC", *measures, "speed ratio", "memory ratio", "first call",
        box=SIMPLE_HEAD, title=f"{task}; relative to the architecture 'baseline' in the same runtime and precision",
    )  # fmt: skip
    keys = {
        "train": ("train_images_per_s", "train_peak_mb"), "infer": ("infer_ms_median", "infer_ms_p90", "infer_peak_mb"),
    }[task]  # fmt: skip
    for row, ratio in zip(document["rows"], document["ratios"], strict=True):
        speed = ratio["train_speed" if task == "train" else "infer_speed"]
        memory = ratio["train_memory" if task == "train" else "infer_memory"]
        table.add_row(
            "/".join(filter(None, (row["model"], row["encoder"]))),
            "torch.compile" if row["compiled"] else row["runtime"], row["precision"], f"{row['params'] / 1e6:.2f} M",
            f"{row['macs'] / 1e9:.1f}", *(f"{row[key]:.1f}" for key in keys), f"{speed:.2f}",
            "-" if memory is None else f"{memory:.2f}", f"{row['first_call_s']:.1f} s",
        )  # fmt: skip
    console.print(table)


def _read(path: Path) -> dict[str, Any]:
    try:
        document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(
            f"`compare={path}`: cannot be read ({error}); use a file that floodseg benchmark --json wrote"
        ) from error
    if not isinstance(document, dict) or "ratios" not in document:
        raise DataError(f"`compare={path}`: has no ratios; use a file that floodseg benchmark --json wrote")
    return document


def _write(json_file: Path | None, document: dict[str, Any]) -> None:
    if json_file is not None:
        write_text(json_file, json.dumps(document, indent=2) + "\n")
