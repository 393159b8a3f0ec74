"""Helpers for runs of ``floodseg predict-many``: lists of scenes, processes and comparison of products."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from scenes import sar_values, write_sar

TIMES = ("seconds", "cpu_seconds", "mapping_seconds")
"""Durations in ``summary.json``."""
_LAST_CHANGE = re.compile(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
"""Time of the last change of a GeoPackage layer."""
OVERVIEW = (
    "collection.json", "index.parquet", "flood.vrt", "water_probability.vrt", "flood.qml", "water_probability.qml",
)  # fmt: skip


def write_list(folder: Path, count: int, size: int) -> Path:
    """Write radar scenes of ``size`` x ``size`` pixels side by side, half overlapping, and their CSV."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = ["id,sar,datetime"]
    base = sar_values(size, size)
    for number in range(count):
        values = np.roll(base, 17 * number, axis=2)
        write_sar(folder / f"s{number}.tif", values, origin=(500_000.0 + number * size * 5, 5_000_000.0))
        lines.append(f"scene-{number},s{number}.tif,2024-01-{number % 28 + 1:02}")
    (folder / "scenes.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder / "scenes.csv"


def map_one_by_one(listed: Any, run: Any, config: Any) -> Iterator[tuple[Any, Any]]:
    """Replacement of ``floodseg.cluster.engine.map_scenes`` that maps in this process, without retries."""
    from floodseg.cluster.tasks import Outcome, SceneFailedError, map_scene_task

    for scene in listed:
        try:
            outcome = map_scene_task(scene, run)
        except SceneFailedError as error:
            if error.trace:
                raise
            outcome = Outcome(reason=error.reason)
        yield scene, outcome


def environment() -> dict[str, str]:
    """Return an environment in which subprocesses find the floodseg under test and use one thread."""
    import floodseg

    source = str(Path(floodseg.__file__).parents[1])
    path = os.pathsep.join(filter(None, (source, os.environ.get("PYTHONPATH"))))
    return {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}


def start(*arguments: object, prefix: Sequence[str] = ()) -> "subprocess.Popen[str]":
    """Start ``floodseg predict-many`` with some arguments, mapping on one thread."""
    command = [*prefix, sys.executable, "-m", "floodseg", "predict-many", *map(str, arguments), "--threads", "1"]
    return subprocess.Popen(
        command, env=environment(), text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        # children of a shell in the background would ignore Ctrl-C
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip


def start_dask(kind: str, *arguments: object, prefix: Sequence[str] = ()) -> "subprocess.Popen[bytes]":
    """Start ``dask scheduler`` or ``dask worker``, in a process group of its own."""
    command = [*prefix, sys.executable, "-m", f"distributed.cli.dask_{kind}", *map(str, arguments)]
    quiet = subprocess.DEVNULL
    return subprocess.Popen(command, env=environment(), stdout=quiet, stderr=quiet, start_new_session=True)


def start_worker(address: str, *arguments: object, prefix: Sequence[str] = ()) -> "subprocess.Popen[bytes]":
    """Start a worker of one thread for a scheduler."""
    return start_dask(
        "worker", address, "--nthreads", 1, "--memory-limit", "2GB", "--no-dashboard", *arguments, prefix=prefix
    )  # fmt: skip


def start_scheduler(address: str, *arguments: object, prefix: Sequence[str] = ()) -> "subprocess.Popen[bytes]":
    """Start a scheduler at tcp://HOST:PORT."""
    host, _, port = address.removeprefix("tcp://").rpartition(":")
    return start_dask("scheduler", "--host", host, "--port", port, "--no-dashboard", *arguments, prefix=prefix)


def kill_group(process: "subprocess.Popen[Any]") -> None:
    """End a process that was started by :func:`start_dask`, with its children, at once."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def free_address() -> str:
    """Return an unused tcp:// address of this machine."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"tcp://127.0.0.1:{probe.getsockname()[1]}"


def staging(out_dir: Path) -> list[Path]:
    """Return the hidden folders of unfinished products."""
    return list((out_dir / "scenes").glob(".*.floodseg-*"))


def finished(out_dir: Path) -> set[str]:
    """Return the names of the finished scenes, without those in hidden folders."""
    found = {path.parent.name for path in (out_dir / "scenes").glob("*/summary.json")}
    return {name for name in found if not name.startswith(".")}


def wait_until(holds: Callable[[], Any], run: "subprocess.Popen[str]", limit_s: float = 120) -> None:
    """Wait until a condition is true; fail after a time limit, or if the run ends before."""
    deadline = time.monotonic() + limit_s
    while not holds():
        assert run.poll() is None, run.communicate()
        assert time.monotonic() < deadline, "time limit exceeded"
        time.sleep(0.02)


def content(out_dir: Path) -> dict[str, bytes]:
    """Return all products and the overview, by name below ``out_dir``, without times."""
    files = [out_dir / name for name in OVERVIEW]
    files += [path for path in (out_dir / "scenes").glob("*/*") if not path.name.startswith(".")]
    return {str(path.relative_to(out_dir)): timeless(path) for path in files}


def timeless(path: Path) -> bytes:
    """Return a product without the times in it."""
    data = path.read_bytes()
    if path.name == "flood.gpkg":
        return _LAST_CHANGE.sub(b"", data)
    if path.name == "summary.json":
        document = json.loads(data)
        assert all(document.pop(name) is not None for name in TIMES)
        return json.dumps(document).encode()
    return data


def assert_same(out_dir: Path, reference: Path) -> None:
    """Compare all products of two runs, byte for byte apart from times."""
    found, expected = content(out_dir), content(reference)
    assert found.keys() == expected.keys()
    assert [name for name in found if found[name] != expected[name]] == []
    left = [path.name for path in (out_dir / "scenes").iterdir() if path.name.startswith(".")]
    assert left == [], "nothing is left over"
