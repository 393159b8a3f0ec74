"""Mapping of scenes on a Dask cluster: on workers on this machine, or on the workers of a scheduler."""

import logging
import secrets
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import contextmanager, suppress
from typing import Any

from floodseg.cluster.extra import import_extra
from floodseg.cluster.scene_list import NamedScene
from floodseg.cluster.tasks import BatchRun, Outcome, SceneFailedError, map_scene_task
from floodseg.config.cluster import MIN_WORKER_MEMORY_GB, ManyConfig
from floodseg.errors import ClusterError, ConfigError

_LOG = logging.getLogger("floodseg")

_POLL_S = 0.1
_LOCAL_START_S = 120
_CLOSE_S = 5.0
_WORKERS_LOST = (
    "every worker that mapped it was lost, perhaps because memory ran out; give the workers more memory, or set a "
    "smaller `tile_size`"
)


def map_scenes(scenes: Sequence[NamedScene], run: BatchRun, config: ManyConfig) -> Iterator[tuple[NamedScene, Outcome]]:
    """Map scenes on a cluster, one task per scene, and yield each scene with its outcome when it ends.

    A failed scene is tried again ``config.retries`` times. A scene whose worker is lost is mapped by another worker.

    Raises:
        ClusterError: no scheduler or no worker was available for ``config.wait_s`` seconds, or the scheduler was lost.
        ConfigError: the memory of the workers is too small.
    """
    with dask_client(config) as client:
        # unique keys, since a scheduler may serve several runs
        prefix = f"floodseg-{secrets.token_hex(8)}-"
        by_key = {prefix + scene.id: scene for scene in scenes}
        futures = client.map(map_scene_task, scenes, run=run, key=list(by_key), retries=config.retries, pure=False)
        completed = import_extra("distributed").as_completed(
            futures, loop=client.loop, with_results=True, raise_errors=False
        )
        del futures  # Dask would compute a referenced result again when its worker is lost
        for future, result in _results(completed, client, config):
            yield by_key[future.key], _outcome(result, config)


def _results(completed: Any, client: Any, config: ManyConfig) -> Iterator[tuple[Any, Any]]:
    """Yield futures with their results as they end. After each ``wait_s`` without a result, wait for a worker."""
    checked = time.monotonic()
    while not completed.is_empty():
        if completed.has_ready():
            yield next(completed)
        elif time.monotonic() - checked > config.wait_s:
            _wait_for_worker(client, config)
            checked = time.monotonic()
        else:
            time.sleep(_POLL_S)


def _outcome(result: Any, config: ManyConfig) -> Outcome:
    """Return the outcome of a scene from the result of its future: an Outcome, or (type, error, traceback)."""
    if isinstance(result, Outcome):
        return result
    if isinstance(result, CancelledError):
        raise ClusterError(
            f"`cluster={config.cluster}`: the connection to the scheduler was lost; start it again, and run the same "
            "command to continue"
        )
    error = result[1]
    if isinstance(error, SceneFailedError):
        if error.trace:
            _LOG.error(error.trace)
        return Outcome(reason=error.reason)
    if isinstance(error, import_extra("distributed.scheduler").KilledWorker):
        return Outcome(reason=_WORKERS_LOST)
    return Outcome(reason=f"the task failed on the cluster ({type(error).__name__}: {' '.join(str(error).split())})")


@contextmanager
def dask_client(config: ManyConfig) -> Iterator[Any]:
    """Yield a Dask client with at least one worker. Errors are those of :func:`map_scenes`."""
    distributed = import_extra("distributed")
    # floodseg reports lost workers and schedulers itself
    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    if config.workers is None:
        _LOG.info("%s: waiting for a worker, at most %g s", config.cluster, config.wait_s)
        try:
            client = distributed.Client(config.cluster, timeout=config.wait_s)
        except (OSError, TimeoutError) as error:
            raise _unavailable(config, "has not answered", "start the scheduler, or correct the address") from error
        with closing_client(client):
            _wait_for_worker(client, config)
            yield client
        return
    with (
        distributed.LocalCluster(
            n_workers=config.workers, threads_per_worker=1, processes=True, host="127.0.0.1", dashboard_address=None,
            scheduler_kwargs={"dashboard_address": "127.0.0.1:0"},  # the default is port 8787 on all interfaces
            memory_limit=_local_memory(config, int(distributed.system.MEMORY_LIMIT)), silence_logs=logging.CRITICAL,
            preload=["floodseg.cluster.worker_setup"],
        ) as cluster,
        closing_client(distributed.Client(cluster, timeout=_LOCAL_START_S)) as client,
    ):  # fmt: skip
        yield client


@contextmanager
def closing_client(client: Any) -> Iterator[Any]:
    """Close a client at the end, even if its scheduler is gone."""
    try:
        yield client
    finally:
        with suppress(OSError, TimeoutError):
            client.close(timeout=_CLOSE_S)


def _wait_for_worker(client: Any, config: ManyConfig) -> None:
    try:
        client.wait_for_workers(1, timeout=config.wait_s)
    except (OSError, TimeoutError) as error:
        raise _unavailable(config, "has had no worker", "start a worker") from error


def _unavailable(config: ManyConfig, problem: str, remedy: str) -> ClusterError:
    return ClusterError(
        f"`cluster={config.cluster}`: {problem} for {config.wait_s:g} seconds; {remedy}, and run the same command to "
        "continue"
    )


def _local_memory(config: ManyConfig, total: int) -> int:
    """Return the memory limit in bytes of each worker on this machine, which has ``total`` bytes."""
    assert config.workers is not None
    share = total // config.workers if config.memory_gb is None else int(config.memory_gb * 1e9)
    if share * config.workers > total:
        raise ConfigError(
            f"`memory_gb={config.memory_gb:g}`: {config.workers} workers would use more than the {total / 1e9:.1f} GB "
            "of this machine; use fewer workers, or less memory for each"
        )
    if share < MIN_WORKER_MEMORY_GB * 1e9:
        raise ConfigError(
            f"`cluster={config.cluster}`: leaves {share / 1e9:.1f} GB of memory for each worker, but a worker needs "
            f"{MIN_WORKER_MEMORY_GB:g} GB; use fewer workers"
        )
    return share
