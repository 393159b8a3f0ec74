"""Tests of the Dask tasks: retries, reasons of failures and unavailable clusters."""

from collections.abc import Iterator
from concurrent.futures import CancelledError
from pathlib import Path
from typing import Any

import pytest
from distributed.scheduler import KilledWorker
from rasterio._err import CPLE_OpenFailedError

import distributed
from floodseg.cluster import engine, tasks
from floodseg.cluster.engine import dask_client, map_scenes
from floodseg.cluster.fingerprint import ModelIdentity
from floodseg.cluster.many import predict_many
from floodseg.cluster.scene_list import NamedScene
from floodseg.cluster.tasks import BatchRun, Outcome, SceneFailedError
from floodseg.config.cluster import ManyConfig
from floodseg.config.predict import MapConfig, SceneConfig
from floodseg.errors import ClusterError, ConfigError, DataError, FolderInUseError
from many_runs import free_address, write_list

from .conftest import threads_cluster

RUN = BatchRun(Path("out"), "s1-lite", ModelIdentity("model", "1.0"), MapConfig(), overwrite=False)
TRIES: list[str] = []


def scenes(*names: str) -> list[NamedScene]:
    return [NamedScene(name, SceneConfig(sar="s1.tif")) for name in names]


def flaky_scene(scene: NamedScene, run: BatchRun) -> Outcome:
    """Replacement of ``map_scene_task``: scene "bad" always fails, scene "shaky" fails once."""
    assert run == RUN
    TRIES.append(scene.id)
    if scene.id == "bad" or (scene.id == "shaky" and TRIES.count("shaky") == 1):
        raise SceneFailedError(f"{scene.id} cannot be read")
    return Outcome(7)


@pytest.fixture
def tries(monkeypatch: pytest.MonkeyPatch, connections: list[str]) -> list[str]:
    """Names of the scenes in the order in which the worker tried them."""
    monkeypatch.setattr(engine, "map_scene_task", flaky_scene)
    TRIES.clear()
    return TRIES


def test_failed_scenes_are_retried_and_others_are_mapped(tries):
    ended = {scene.id: outcome for scene, outcome in map_scenes(scenes("bad", "shaky", "good"), RUN, ManyConfig())}
    assert ended == {"bad": Outcome(reason="bad cannot be read"), "shaky": Outcome(7), "good": Outcome(7)}
    assert {name: tries.count(name) for name in ended} == {"bad": 3, "shaky": 2, "good": 1}


def test_without_retries_a_scene_is_tried_once(tries):
    [(scene, outcome)] = map_scenes(scenes("shaky"), RUN, ManyConfig(retries=0))
    assert (scene.id, outcome.reason, tries) == ("shaky", "shaky cannot be read", ["shaky"])


def test_scenes_of_two_runs_have_different_keys(tries):
    for _ in range(2):
        assert len(list(map_scenes(scenes("good"), RUN, ManyConfig()))) == 1
    assert tries == ["good", "good"]


def test_scenes_of_a_list_are_mapped_by_a_worker(connections, tmp_path):
    report = predict_many(write_list(tmp_path, 2, 32), ManyConfig(tmp_path / "out"), "otsu")
    assert (report.mapped, report.failed) == (2, {})
    assert connections == [ManyConfig().cluster]
    for name in ("scene-0", "scene-1"):
        assert (tmp_path / f"out/scenes/{name}/flood.tif").exists()


def unpicklable(cause: Any) -> DataError:
    error = DataError("a.tif: is broken")
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (DataError("a.tif: is broken"), "a.tif: is broken"),
        (unpicklable(CPLE_OpenFailedError(1, 2, "no")), "a.tif: is broken"),
        (MemoryError(), "memory ran out; give the workers more memory, or set a smaller `tile_size`"),
        (OSError(28, "No space left on device", "/out/a"), "/out/a: No space left on device"),
        (ZeroDivisionError("by\n zero"), "internal error of floodseg (ZeroDivisionError: by zero)"),
    ],
)
def test_reason_of_a_failure_is_one_sentence(connections, monkeypatch, caplog, error, reason):
    def fail(scene: Any, run: Any) -> int:
        raise error

    monkeypatch.setattr(tasks, "_map_unless_finished", fail)
    [(_, outcome)] = map_scenes(scenes("a"), RUN, ManyConfig(retries=0))
    assert outcome == Outcome(reason=reason)
    assert ("in fail" in caplog.text) == ("internal error" in reason), "only internal errors have a traceback"


def test_tasks_that_dask_gives_up_are_failed_scenes(tries, monkeypatch):
    errors = [KilledWorker("a", None, 3), ModuleNotFoundError("No module named 'floodseg'")]  # type: ignore[arg-type]

    def checked(completed: Any, client: Any, config: Any) -> Any:
        return [(future, (type(error), error, None)) for (future, _), error in zip(completed, errors, strict=True)]

    monkeypatch.setattr(engine, "_results", checked)
    killed, missing = (outcome.reason for _, outcome in map_scenes(scenes("a", "b"), RUN, ManyConfig()))
    assert killed.startswith("every worker that mapped it was lost, perhaps because memory ran out; give the workers ")
    assert missing == "the task failed on the cluster (ModuleNotFoundError: No module named 'floodseg')"


def test_lost_scheduler_ends_the_run(tries, monkeypatch):
    def checked(completed: Any, client: Any, config: Any) -> Any:
        return [(future, CancelledError()) for future, _ in completed]

    monkeypatch.setattr(engine, "_results", checked)
    with pytest.raises(
        ClusterError, match=r"^`cluster=local:1`: the connection to the scheduler was lost; start it again, and run the"
    ):
        list(map_scenes(scenes("good"), RUN, ManyConfig()))


def test_missing_scheduler_is_an_error():
    config = ManyConfig(cluster=free_address(), wait_s=0.2)
    message = (
        rf"^`cluster={config.cluster}`: has not answered for 0\.2 seconds; start the scheduler, or correct the add"
    )
    with pytest.raises(ClusterError, match=message), dask_client(config):
        pass


@pytest.fixture(scope="module")
def idle_scheduler() -> Iterator[Any]:
    """A scheduler without workers, at a tcp:// address."""
    with threads_cluster(n_workers=0, protocol="tcp://", host="127.0.0.1") as cluster:
        yield cluster


NO_WORKER = r"^`cluster=tcp://.*`: has had no worker for 0\.2 seconds; start a worker, and run the same command to con"


def test_scheduler_without_workers_is_an_error(idle_scheduler):
    config = ManyConfig(cluster=idle_scheduler.scheduler_address, wait_s=0.2)
    with pytest.raises(ClusterError, match=NO_WORKER), dask_client(config):
        pass


def test_run_ends_without_workers(idle_scheduler, monkeypatch):
    config = ManyConfig(cluster=idle_scheduler.scheduler_address, wait_s=0.2)
    monkeypatch.setattr(engine, "dask_client", lambda config: distributed.Client(config.cluster))
    with pytest.raises(ClusterError, match=NO_WORKER):
        list(map_scenes(scenes("good"), RUN, config))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"cluster": "local:5"},
            r"`cluster=local:5`: leaves 0\.8 GB of memory for each worker, but a worker needs 1 GB; ",
        ),
        ({"cluster": "local:2", "memory_gb": 3.0}, r"`memory_gb=3`: 2 workers would use more than the 4\.0 GB of"),
    ],
)
def test_local_workers_share_the_memory(settings, message):
    assert engine._local_memory(ManyConfig(cluster="local:2"), 4 * 10**9) == 2 * 10**9
    with pytest.raises(ConfigError, match=message):
        engine._local_memory(ManyConfig(**settings), 4 * 10**9)


def test_task_waits_for_a_scene_folder_in_use(monkeypatch):
    monkeypatch.setattr(tasks, "_BUSY_PAUSE_S", 0.01)
    answers: list[Any] = [FolderInUseError("another run")] * 3 + [9]

    def answer(scene: Any, run: Any) -> Any:
        result = answers.pop(0)
        if isinstance(result, Exception):
            raise result
        return result

    monkeypatch.setattr(tasks, "_map_unless_finished", answer)
    assert tasks.map_scene_task(scenes("a")[0], RUN) == Outcome(9)
    monkeypatch.setattr(tasks, "_BUSY_LIMIT_S", 0.0)
    answers[:] = [FolderInUseError("another run")] * 3
    with pytest.raises(SceneFailedError, match="another run"):
        tasks.map_scene_task(scenes("a")[0], RUN)
