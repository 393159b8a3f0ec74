"""``floodseg benchmark train`` and ``infer``: rows, ratios to the baseline, and the check against an older file."""

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from floodseg.benchmarking.rows import BASELINE, Row, Task, benchmark_rows
from floodseg.benchmarking.exported_rows import group_by_network, export_rows, file_mb, write_images
from floodseg.benchmarking.rounds import Timing, Workload, in_fresh_process, time_in_turn
from floodseg.benchmarking.row_memory import peak_memory_mb
from floodseg.benchmarking.settings import BenchmarkConfig
from floodseg.benchmarking.torch_rows import ModelSize, measure_model_size
from floodseg.errors import ConfigError
from floodseg.system.environment import hardware, versions

Document = dict[str, Any]

_BETTER_WHEN_HIGHER = {"train_speed": True, "train_memory": False, "infer_speed": True, "params": False}


def benchmark(task: Task, config: BenchmarkConfig, note: Callable[[str], None] = lambda _: None) -> Document:
    """Measure training (``train``) or inference (``infer``) of several models side by side on this machine.

    Returns:
        ``hardware``, ``versions``, ``date``, ``settings``, ``rows`` and ``ratios``: for each row, how it compares with
        the baseline in the same runtime and precision (speed above 1 is faster, memory below 1 is less), and with
        that of torch in fp32. What was not
        measured is None.

    Raises:
        FloodsegError: a setting that cannot be followed, or a row that could not be built.
    """
    if task == "train" and set(config.runtimes) != {"torch"}:
        raise ConfigError(
            f"`runtimes={' '.join(config.runtimes)}`: training is done by torch alone; give it to benchmark infer"
        )
    rows = benchmark_rows(
        config.models, config.encoders, config.precisions, compiled=config.compiled, runtimes=config.runtimes
    )
    batch_size = config.batch_size or (4 if task == "train" else 1)
    size = config.size or (256 if task == "train" else 512)
    with tempfile.TemporaryDirectory() as folder:
        workload = Workload(task, batch_size, size, config.threads, Path(folder))
        _prepare(rows, workload, note)
        timings = time_in_turn(rows, workload, config.rounds, note)
        counted: dict[tuple[str, str | None], ModelSize] = {}
        documents = []
        for row in rows:
            note(f"counting {row.label}")
            network = row.model, row.encoder
            counted[network] = counted.get(network) or in_fresh_process(measure_model_size, row)
            documents.append(_row(row, timings[row], counted[network], workload, config.memory_batch_size))
    return {
        "hardware": hardware(),
        "versions": versions(),
        "date": datetime.now(UTC).date().isoformat(),
        "settings": {
            "task": task,
            "batch_size": batch_size,
            "memory_batch_size": config.memory_batch_size if task == "train" else None,
            "size": workload.size,
            "threads": config.threads,
            "rounds": config.rounds,
        },
        "rows": documents,
        "ratios": _ratios(documents),
    }


def _prepare(rows: Sequence[Row], workload: Workload, note: Callable[[str], None]) -> None:
    """Write what exported rows need, each network in a process of its own: converters leave memory and threads."""
    groups = group_by_network(rows)
    if groups:
        in_fresh_process(write_images, workload.folder, workload.batch_size, workload.size)
    for group in groups:
        note(f"exporting {group[0].label}")
        in_fresh_process(export_rows, group, workload.folder, workload.size)


def _row(row: Row, timing: Timing, counted: ModelSize, workload: Workload, memory_batch_size: int) -> Document:
    training = workload.task == "train"
    peak = in_fresh_process(peak_memory_mb, row, replace(workload, batch_size=memory_batch_size)) if training else None
    resident = None if training else in_fresh_process(peak_memory_mb, row, workload)
    stored = counted.size_mb if row.runtime == "torch" else file_mb(row, workload.folder)
    return {
        "model": row.model,
        "encoder": row.encoder,
        "runtime": row.runtime,
        "precision": row.precision,
        "compiled": row.compiled,
        "params": counted.params,
        "macs": counted.macs,
        "size_mb": round(stored, 2),
        "train_images_per_s": workload.batch_size / timing.median if training else None,
        "train_peak_mb": peak,
        "infer_ms_median": None if training else 1000 * timing.median,
        "infer_ms_p90": None if training else 1000 * timing.quantile(0.9),
        "infer_peak_mb": resident,
        "first_call_s": timing.first,
        "seconds": timing.calls,
    }


def _ratios(rows: Sequence[Document]) -> list[Document]:
    """Compare each row with the baseline in the same runtime and precision, and with that of torch in fp32."""
    references = {
        (row["runtime"], row["precision"]): row for row in rows if row["model"] == BASELINE and not row["compiled"]
    }
    ratios = []
    for row in rows:
        same, plain = references[row["runtime"], row["precision"]], references["torch", "fp32"]
        ratios.append(
            {
                "model": row["model"],
                "encoder": row["encoder"],
                "runtime": row["runtime"],
                "precision": row["precision"],
                "compiled": row["compiled"],
                "params": row["params"] / plain["params"],
                "macs": row["macs"] / plain["macs"],
                "train_speed": _ratio(row, same, "train_images_per_s"),
                "train_memory": _ratio(row, same, "train_peak_mb"),
                "infer_speed": _ratio(same, row, "infer_ms_median"),
                "infer_memory": _ratio(row, same, "infer_peak_mb"),
                "infer_speed_to_fp32": _ratio(plain, row, "infer_ms_median"),
            }
        )
    return ratios


def _ratio(one: Document, other: Document, key: str) -> float | None:
    return None if one[key] is None or other[key] is None else one[key] / other[key]


def regressions(now: Document, before: Document, tolerance: float = 0.15) -> list[str]:
    """Return one line for each ratio that is worse than in an older result by more than ``tolerance`` of it.

    Ratios are compared, not seconds, so that results of different machines say something about each other.

    Raises:
        ConfigError: the results are of different tasks or images, or share no row.
    """
    for key in ("task", "batch_size", "size"):
        if now["settings"][key] != before["settings"][key]:
            raise ConfigError(
                f"`compare`: the older result was measured with {key} {before['settings'][key]}, this one with "
                f"{now['settings'][key]}; ratios depend on it: compare runs of the same"
            )

    def by_row(document: Document) -> dict[tuple[str, ...], Document]:
        # a result from before rows could be compiled says nothing of it
        return {tuple(str(entry.get(key, False)) for key in _ROW_KEYS): entry for entry in document["ratios"]}

    rows, older = by_row(now), by_row(before)
    shared = [name for name in rows if name in older]
    if not shared:
        raise ConfigError("`compare`: the older result has none of these rows; compare runs of the same models")
    lines = []
    for name in shared:
        for key, higher in _BETTER_WHEN_HIGHER.items():
            new, old = rows[name][key], older[name][key]
            if new is None or old is None:
                continue
            worse = old / new - 1 if higher else new / old - 1
            if worse > tolerance:
                label = "/".join(part for part in name if part not in ("None", "False")).replace("True", "compiled")
                lines.append(f"{label}: {key} {old:.2f} before, {new:.2f} now")
    return lines


_ROW_KEYS = ("model", "encoder", "runtime", "precision", "compiled")
