"""The Dask cluster that a run asks: workers on this machine, or a scheduler somewhere."""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from floodseg.cluster.extra import dask_distributed
from floodseg.config.cluster import LEAST_MEMORY_GB, ManyConfig
from floodseg.errors import ClusterError, ConfigError

_TRY_S = 5.0
_LOCAL_START_S = 120


class ClusterLostError(Exception):
    """The scheduler does not answer any more. For the driver, which asks again; never for users."""


@contextmanager
def connected(config: ManyConfig, say: Callable[[str], None]) -> Iterator[Any]:
    """Yield a Dask client with at least one worker.

    Args:
        config: its ``cluster``, ``memory_gb`` and ``wait_s``.
        say: told, once, that a scheduler is being waited for.

    Raises:
        ClusterError: no scheduler or no worker within ``wait_s`` seconds.
        ConfigError: the extra is missing, or the workers' memory is too small.
    """
    distributed = dask_distributed()
    # what becomes of workers is told by the outcome of the scenes
    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    if config.workers is None:
        client = _client(config, distributed, say)
        try:
            yield client
        finally:
            _close(client)
        return
    memory = _local_memory(config, distributed)
    with distributed.LocalCluster(
        n_workers=config.workers, threads_per_worker=1, processes=True, memory_limit=memory, host="127.0.0.1",
        dashboard_address=None, silence_logs=logging.CRITICAL,
    ) as cluster:  # fmt: skip
        client = distributed.Client(cluster, timeout=_LOCAL_START_S)
        try:
            yield client
        finally:
            _close(client)


def _local_memory(config: ManyConfig, distributed: Any) -> int:
    """Return the bytes that each worker of this machine may take."""
    assert config.workers is not None
    whole = int(distributed.system.MEMORY_LIMIT)
    share = whole // config.workers
    if config.memory_gb is not None:
        share = int(config.memory_gb * 1e9)
        if share * config.workers > whole:
            raise ConfigError(
                f"--memory-gb {config.memory_gb:g}: {config.workers} workers would take more than the "
                f"{whole / 1e9:.1f} GB of this machine: give fewer workers, or less memory"
            )
    if share < LEAST_MEMORY_GB * 1e9:
        raise ConfigError(
            f"--cluster {config.cluster}: leaves each worker {share / 1e9:.1f} GB of memory, and a worker needs "
            f"{LEAST_MEMORY_GB:g}: give fewer workers"
        )
    return share


def _client(config: ManyConfig, distributed: Any, say: Callable[[str], None]) -> Any:
    """Return a client of the scheduler, once it has a worker."""
    deadline = time.monotonic() + config.wait_s
    told = ""
    while True:
        client, why = None, "does not answer"
        try:
            client = distributed.Client(config.cluster, timeout=min(_TRY_S, config.wait_s))
            why = "has no worker"
            if client.scheduler_info()["workers"]:
                _check_memory(config, client)
                return client
        except (OSError, TimeoutError):
            pass
        except BaseException:
            if client is not None:
                _close(client)
            raise
        if client is not None:
            _close(client)
        if time.monotonic() > deadline:
            raise ClusterError(
                f"--cluster {config.cluster}: {why} since {config.wait_s:g} seconds: start it, or correct the address; "
                "the same command then goes on"
            )
        if why != told:
            say(f"{config.cluster} {why}: waiting for it, {config.wait_s:g} s at the most")
            told = why
        time.sleep(min(1.0, config.wait_s))


def _check_memory(config: ManyConfig, client: Any) -> None:
    """Refuse workers whose memory is not bounded, or too little."""
    for address, worker in client.scheduler_info()["workers"].items():
        limit = worker.get("memory_limit") or 0
        if limit < LEAST_MEMORY_GB * 1e9 * worker.get("nthreads", 1):
            raise ConfigError(
                f"--cluster {config.cluster}: the worker {address} may take "
                f"{f'{limit / 1e9:.1f} GB' if limit else 'any amount'} of memory for {worker.get('nthreads', 1)} "
                f"threads: start it with dask worker --memory-limit, {LEAST_MEMORY_GB:g} GB or more for each thread"
            )


def _close(client: Any) -> None:
    """Close a client, whatever state its scheduler is in."""
    with suppress(OSError, TimeoutError):  # the scheduler is gone, which is why it is closed
        client.close(timeout=_TRY_S)


def worker_count(client: Any) -> int:
    """Return how many workers a scheduler has.

    Raises:
        ClusterLostError: it does not answer.
    """
    if client.status not in ("running", "connecting"):
        raise ClusterLostError
    try:
        return len(client.ncores())
    except (OSError, TimeoutError, RuntimeError, AttributeError) as error:
        raise ClusterLostError from error
