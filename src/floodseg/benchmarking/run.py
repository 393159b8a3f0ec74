"""``floodseg benchmark train`` and ``infer``: measurements, ratios, and comparison with an older result."""

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from floodseg.benchmarking.exported_rows import export_rows, file_mb, group_by_network, write_images
from floodseg.benchmarking.rounds import Timing, Workload, call_in_new_process, time_in_turn
from floodseg.benchmarking.row_memory import peak_memory_mb
from floodseg.benchmarking.rows import BASELINE, Row, Task, benchmark_rows
from floodseg.benchmarking.settings import BenchmarkConfig
from floodseg.benchmarking.torch_rows import ModelSize, measure_model_size
from floodseg.errors import ConfigError
from floodseg.system.environment import hardware, versions

Document = dict[str, Any]

_BETTER_WHEN_HIGHER = {"train_speed": True, "train_memory": False, "infer_speed": True, "params": False}


def benchmark(task: Task, config: BenchmarkConfig, note: Callable[[str], None] = lambda _: None) -> Document:
    """Measure training or inference of several models on this machine.

    Args:
        task: ``train`` or ``infer``.
        config: settings.
        note: function that is called with a sentence about the current step.

    Returns:
        ``hardware``, ``versions``, ``date``, ``settings``, ``rows`` and ``ratios``. Each entry of ``ratios`` compares a
        row with the baseline in the same runtime and precision, and with the baseline in PyTorch and fp32. A speed
        ratio above 1 is faster, a memory ratio below 1 is smaller. Values that were not measured are None.

    Raises:
        FloodsegError: a setting cannot be used, or a model could not be built.

    Example:
        >>> from floodseg.benchmarking.settings import BenchmarkConfig
        >>> result = floodseg.benchmark("infer", BenchmarkConfig(models=("baseline", "lite"), rounds=1, size=64))
        >>> [row["model"] for row in result["rows"]]
        ['baseline', 'lite']
    """
    if task == "train" and set(config.runtimes) != {"torch"}:
        raise ConfigError(
            f"`runtimes={' '.join(config.runtimes)}`: only torch can train; leave it out, or run benchmark infer"
        )
    if task == "infer" and config.memory_batch_size != BenchmarkConfig.memory_batch_size:
        raise ConfigError(f"`memory_batch_size={config.memory_batch_size}`: has no effect on inference; leave it out")
    rows = benchmark_rows(
        config.models, config.encoders, config.precisions, compiled=config.compiled, runtimes=config.runtimes
    )
    batch_size = config.batch_size or (4 if task == "train" else 1)
    size = config.size or (256 if task == "train" else 512)
    with tempfile.TemporaryDirectory() as folder:
        workload = Workload(task, batch_size, size, config.threads, Path(folder))
        _prepare_exported_rows(rows, workload, note)
        timings = time_in_turn(rows, workload, config.rounds, note)
        sizes: dict[tuple[str, str | None], ModelSize] = {}
        documents = []
        for row in rows:
            note(f"measuring the memory of {row.label}")
            network = row.model, row.encoder
            sizes[network] = sizes.get(network) or call_in_new_process(measure_model_size, row)
            documents.append(_row_document(row, timings[row], sizes[network], workload, config.memory_batch_size))
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


def _prepare_exported_rows(rows: Sequence[Row], workload: Workload, note: Callable[[str], None]) -> None:
    """Write the input images, and the exported models of the rows.

    Each network is exported in its own process, whose memory is then freed.
    """
    groups = group_by_network(rows)
    if groups:
        call_in_new_process(write_images, workload.folder, workload.batch_size, workload.size)
    for group in groups:
        note(f"exporting {group[0].label}")
        call_in_new_process(export_rows, group, workload.folder, workload.size)


def _row_document(row: Row, timing: Timing, size: ModelSize, workload: Workload, memory_batch_size: int) -> Document:
    training = workload.task == "train"
    measured = replace(workload, batch_size=memory_batch_size) if training else workload
    peak_mb = call_in_new_process(peak_memory_mb, row, measured)
    size_mb = size.size_mb if row.runtime == "torch" else file_mb(row, workload.folder)
    return {
        "model": row.model,
        "encoder": row.encoder,
        "runtime": row.runtime,
        "precision": row.precision,
        "compiled": row.compiled,
        "params": size.params,
        "macs": size.macs,
        "size_mb": round(size_mb, 2),
        "train_images_per_s": workload.batch_size / timing.median if training else None,
        "train_peak_mb": peak_mb if training else None,
        "infer_ms_median": None if training else 1000 * timing.median,
        "infer_ms_p90": None if training else 1000 * timing.quantile(0.9),
        "infer_peak_mb": None if training else peak_mb,
        "first_call_s": timing.first,
        "seconds": timing.calls,
    }


def _ratios(rows: Sequence[Document]) -> list[Document]:
    """Return the ratios of each row to the baseline in the same runtime and precision, and to PyTorch in fp32."""
    baselines = {
        (row["runtime"], row["precision"]): row for row in rows if row["model"] == BASELINE and not row["compiled"]
    }
    ratios = []
    for row in rows:
        same_format, torch_fp32 = baselines[row["runtime"], row["precision"]], baselines["torch", "fp32"]
        ratios.append(
            {
                "model": row["model"],
                "encoder": row["encoder"],
                "runtime": row["runtime"],
                "precision": row["precision"],
                "compiled": row["compiled"],
                "params": row["params"] / torch_fp32["params"],
                "macs": row["macs"] / torch_fp32["macs"],
                "train_speed": _ratio(row, same_format, "train_images_per_s"),
                "train_memory": _ratio(row, same_format, "train_peak_mb"),
                "infer_speed": _ratio(same_format, row, "infer_ms_median"),
                "infer_memory": _ratio(row, same_format, "infer_peak_mb"),
                "infer_speed_to_fp32": _ratio(torch_fp32, row, "infer_ms_median"),
            }
        )
    return ratios


def _ratio(numerator: Document, denominator: Document, key: str) -> float | None:
    if numerator[key] is None or denominator[key] is None:
        return None
    ratio: float = numerator[key] / denominator[key]
    return ratio


def regressions(now: Document, before: Document, tolerance: float = 0.15) -> list[str]:
    """Return one line for each ratio that is worse than in an older result by more than the relative ``tolerance``.

    Ratios are compared, not seconds, so that results of different machines can be compared.

    Raises:
        ConfigError: the results are from different tasks, batch sizes or image sizes, or have no common row.
    """
    for key in ("task", "batch_size", "size"):
        if now["settings"][key] != before["settings"][key]:
            raise ConfigError(
                f"`compare`: the older result was measured with {key} {before['settings'][key]}, this one with "
                f"{now['settings'][key]}; compare results with the same {key}"
            )

    def by_row(document: Document) -> dict[tuple[str, ...], Document]:
        # results of older versions have no key "compiled"
        return {tuple(str(entry.get(key, False)) for key in _ROW_KEYS): entry for entry in document["ratios"]}

    rows, older = by_row(now), by_row(before)
    shared = [name for name in rows if name in older]
    if not shared:
        raise ConfigError(
            "`compare`: the older result has no measurement of these models; compare results of the same models"
        )
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
