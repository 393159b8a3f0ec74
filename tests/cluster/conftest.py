from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

import distributed
import many_runs
from floodseg.cluster import engine


@pytest.fixture
def start() -> Iterator[Any]:
    """Function ``many_runs.start``, whose processes are killed at the end of the test."""
    runs = []

    def started(*arguments: object, **options: Any) -> Any:
        runs.append(many_runs.start(*arguments, **options))
        return runs[-1]

    yield started
    for run in runs:
        if run.poll() is None:
            run.kill()
        run.communicate()


def threads_cluster(**settings: Any) -> Any:
    """Return a Dask cluster whose scheduler and workers are threads of this process."""
    # port 0 is any free port, since tests run in parallel
    http = {"dashboard_address": "127.0.0.1:0"}
    return distributed.LocalCluster(
        processes=False,
        threads_per_worker=1,
        memory_limit=0,
        dashboard_address=None,
        scheduler_kwargs=http,
        silence_logs=False,  # or the cluster changes the level of the handlers of all later tests
        **settings,
    )


@pytest.fixture(scope="session")
def threads_client() -> Iterator[Any]:
    """A Dask client with one worker, all in threads of this process."""
    with threads_cluster(n_workers=1) as cluster, distributed.Client(cluster) as client:
        yield client


@pytest.fixture
def connections(monkeypatch: pytest.MonkeyPatch, threads_client: Any) -> list[str]:
    """Map runs with ``threads_client``, and return the list of requested clusters."""
    asked: list[str] = []

    @contextmanager
    def dask_client(config: Any) -> Iterator[Any]:
        asked.append(config.cluster)
        yield threads_client

    monkeypatch.setattr(engine, "dask_client", dask_client)
    return asked
