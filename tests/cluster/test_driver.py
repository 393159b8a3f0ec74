"""Scenes on their way over a cluster that is played: retries, other people's folders, lost schedulers, parts."""

from pathlib import Path
from typing import Any

import pytest

from floodseg.cluster import driver
from floodseg.cluster.content import Content
from floodseg.cluster.driver import Driver, Job
from floodseg.cluster.recipe import Recipe
from floodseg.cluster.tasks import Outcome, SceneTask
from floodseg.config.predict import PredictConfig, SceneConfig
from floodseg.errors import ClusterError

from .fake_dask import LOST, FakeClient

CONTENT = Content("recipe", "model", {})


def jobs(folder: Path, *names: str) -> list[Job]:
    recipe = Recipe("model", "1.0")
    return [
        Job(SceneTask(name, PredictConfig(folder / name, SceneConfig(sar="s1.tif")), "s1-lite", recipe, False))
        for name in names
    ]


def drive(
    client: FakeClient, work: list[Job], split_rows: int | None = None, retries: int = 2, wait: float = 10
) -> int:
    changes = 0

    def changed() -> None:
        nonlocal changes
        changes += 1

    Driver(work, client.connect, split_rows=split_rows, retries=retries, wait_s=wait, changed=changed).run()
    return changes


def test_a_failed_scene_is_tried_again_while_the_others_go_on(tmp_path):
    tries: list[str] = []

    def script(function: Any, arguments: Any) -> Outcome:
        name = arguments[0].id
        tries.append(name)
        if name == "bad" or (name == "shaky" and tries.count(name) < 3):
            return Outcome("failed", reason=f"{name} cannot be read")
        return Outcome("mapped", pixels=7, content=CONTENT)

    work = jobs(tmp_path, "bad", "shaky", "good")
    assert drive(FakeClient(script), work) > 0
    assert [job.state for job in work] == ["failed", "mapped", "mapped"]
    assert tries == ["bad", "shaky", "good", "bad", "shaky", "bad", "shaky"]
    assert work[0].reason == "bad cannot be read"
    assert [job.pixels for job in work] == [0, 7, 7]


def test_without_retries_once_is_enough(tmp_path):
    client = FakeClient(lambda function, arguments: Outcome("failed", reason="no"))
    work = jobs(tmp_path, "a")
    drive(client, work, retries=0)
    assert (work[0].state, len(client.calls)) == ("failed", 1)


def test_a_scene_in_other_hands_is_asked_for_again_and_that_is_no_failure(tmp_path, monkeypatch):
    monkeypatch.setattr(driver, "_BUSY_PAUSE_S", 0.01)
    answers = [Outcome("busy", reason="another run")] * 5 + [Outcome("kept", content=CONTENT)]
    work = jobs(tmp_path, "a")
    drive(FakeClient(lambda function, arguments: answers.pop(0)), work, retries=0)
    assert (work[0].state, work[0].attempts) == ("kept", 0)


def test_a_scene_that_stays_in_other_hands_fails_in_the_end(tmp_path, monkeypatch):
    monkeypatch.setattr(driver, "_BUSY_PAUSE_S", 0.01)
    monkeypatch.setattr(driver, "_BUSY_LIMIT_S", 0.1)
    work = jobs(tmp_path, "a")
    drive(FakeClient(lambda function, arguments: Outcome("busy", reason="another run")), work, retries=0)
    assert (work[0].state, work[0].reason) == ("failed", "another run")


def test_after_a_lost_scheduler_what_is_open_is_given_out_again(tmp_path, caplog):
    lost = ["b", "c"]

    def script(function: Any, arguments: Any) -> Any:
        name = arguments[0].id
        if name in lost:
            lost.remove(name)
            return LOST
        return Outcome("mapped", content=CONTENT)

    client = FakeClient(script)
    work = jobs(tmp_path, "a", "b", "c")
    drive(client, work, retries=0)
    assert [job.state for job in work] == ["mapped"] * 3
    assert client.connections == 2
    assert [name for _, name, _ in client.calls] == ["a", "b", "c", "b", "c"]
    assert "the scheduler was lost" in caplog.text


def test_what_dask_gives_up_is_told_in_words(tmp_path):
    killed = type("KilledWorker", (Exception,), {})()
    work = jobs(tmp_path, "a")
    drive(FakeClient(lambda function, arguments: killed), work, retries=1)
    assert work[0].state == "failed"
    assert work[0].reason.startswith("each worker that mapped it was lost, as it is when memory runs out")
    assert work[0].attempts == 2


def test_warnings_and_defects_are_told_with_the_scene(tmp_path, caplog):
    outcome = Outcome("failed", reason="a defect", trace="Traceback: here", notes=("no date",))
    drive(FakeClient(lambda function, arguments: outcome), jobs(tmp_path, "a"), retries=0)
    assert "a: no date" in caplog.text
    assert "a: Traceback: here" in caplog.text


def test_a_cluster_without_workers_ends_the_run(tmp_path, monkeypatch):
    monkeypatch.setattr(driver, "_COUNT_WORKERS_S", 0.0)
    monkeypatch.setattr(driver, "_TICK_S", 0.01)
    monkeypatch.setattr(driver, "_BUSY_PAUSE_S", 0.01)
    client = FakeClient(lambda function, arguments: Outcome("busy"), workers=0)
    with pytest.raises(ClusterError, match=r"no worker for 0\.1 seconds: start some; the same command then goes on"):
        drive(client, jobs(tmp_path, "a"), wait=0.1)


def test_a_huge_scene_is_planned_split_and_joined(tmp_path):
    rows: list[range] = []

    def script(function: Any, arguments: Any) -> Outcome:
        if function.__name__ == "plan":
            return Outcome("planned", rows={"huge": 5, "small": 2}[arguments[0].id], content=CONTENT)
        if function.__name__ == "map_part":
            rows.append(arguments[2])
            return Outcome("part")
        if function.__name__ == "join":
            assert arguments[1:] == (CONTENT, (range(0, 2), range(2, 4), range(4, 5)))
        return Outcome("mapped", content=CONTENT)

    client = FakeClient(script)
    work = jobs(tmp_path, "huge", "small")
    drive(client, work, split_rows=2)
    assert [job.state for job in work] == ["mapped", "mapped"]
    assert rows == [range(0, 2), range(2, 4), range(4, 5)]
    assert [call for call in client.calls if call[1] == "small"] == [("plan", "small", 0), ("map_whole", "small", 1)]
    assert client.calls[-1] == ("join", "huge", 2)


def test_parts_that_do_not_join_are_mapped_anew(tmp_path):
    joins = 0

    def script(function: Any, arguments: Any) -> Outcome:
        nonlocal joins
        if function.__name__ == "plan":
            return Outcome("planned", rows=2, content=CONTENT)
        if function.__name__ == "map_part":
            file = arguments[0].part(CONTENT, arguments[2])
            assert not file.exists(), "a damaged part was removed"
            file.parent.mkdir(exist_ok=True)
            file.touch()
            return Outcome("part")
        joins += 1
        return Outcome("failed", reason="damaged") if joins == 1 else Outcome("mapped", content=CONTENT)

    work = jobs(tmp_path, "a")
    drive(FakeClient(script), work, split_rows=1)
    assert (work[0].state, joins) == ("mapped", 2)
