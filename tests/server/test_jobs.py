"""Jobs: the queue, progress, cancelling, and the end of the server."""

import json
import os
import shutil
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from app_server import TOKEN, AppProcess
from floodseg.app.cli import main
from place_scenes import PLACE, make_world, serving_world
from scenes import sar_values, write_sar

RASTERS = ("flood.tif", "water_probability.tif")


@pytest.fixture
def workshop(map_root: Path, tmp_path: Path) -> Iterator[AppProcess]:
    """An app of an empty folder ``maps`` that may read the images."""
    with AppProcess(tmp_path / "maps", [f"--folder={map_root / 'scene'}", f"--folder={tmp_path}"]) as process:
        yield process


@pytest.fixture
def large_scene(tmp_path: Path) -> Path:
    """A radar image that takes many seconds to map."""
    write_sar(tmp_path / "large.tif", np.tile(sar_values(512, 512), (1, 6, 6)))
    return tmp_path / "large.tif"


def start(server: AppProcess, name: str, **settings: Any) -> Any:
    answer = server.request("api/jobs", "POST", {"kind": "predict", "name": name, "settings": settings})
    assert answer.status == 201, answer.body
    return answer.json()


def events(server: AppProcess, job: str) -> list[Any]:
    """Return the events of a job until it ends."""
    body = server.request(f"api/jobs/{job}/events").body.decode()
    return [json.loads(part.removeprefix("data: ")) for part in body.split("\n\n") if part]


def wait_for(server: AppProcess, job: str, state: str, *, moving: bool = False) -> Any:
    """Wait until a job has a state, and with ``moving`` until it has made progress."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        document = server.request(f"api/jobs/{job}").json()
        if document["state"] == state and (not moving or document["share"]):
            return document
        time.sleep(0.1)
    raise AssertionError(document)


@pytest.mark.slow
def test_rasters_of_a_job_are_those_of_the_command(workshop: AppProcess, map_root: Path, tmp_path: Path) -> None:
    sar = str(map_root / "scene/sar.tif")
    job = start(workshop, "river 1", sar=[sar], model="s1-lite", datetime="2024-10-31", min_area=500)
    assert (job["state"], job["name"], job["scene"]) == ("queued", "river 1", None)
    last = events(workshop, job["id"])[-1]
    assert (last["state"], last["share"], last["error"]) == ("done", 1.0, None)
    assert any("open water" in line for line in last["messages"])
    command = f"predict --sar {sar} --model s1-lite --datetime 2024-10-31 --min-area 500 --out-dir {tmp_path / 'typed'}"
    with pytest.raises(SystemExit) as stop:
        main(command.split())
    assert stop.value.code == 0
    for name in RASTERS:
        assert (tmp_path / "maps/river 1" / name).read_bytes() == (tmp_path / "typed" / name).read_bytes()
    assert workshop.request(f"api/scenes/{last['scene']}").json()["name"] == "river 1"
    refused = workshop.request("api/jobs", "POST", {"kind": "predict", "name": "river 1", "settings": {"sar": sar}})
    assert refused.status == 422
    assert "holds finished products" in refused.json()["error"]


@pytest.mark.slow
def test_map_from_a_place_and_a_date(tmp_path: Path) -> None:
    with (
        serving_world(make_world(tmp_path / "world"), tmp_path / "world") as service,
        AppProcess(tmp_path / "maps", [f"--folder={tmp_path / 'world'}", "--allow-remote"]) as server,
    ):
        settings = {
            "place": PLACE,
            "radius": "1km",
            "date": "2024-10-31",
            "sensors": "sar",
            "source": str(service.source),
        }
        form = {"kind": "map", "name": "adria", "settings": settings}
        job = server.request("api/jobs", "POST", form).json()
        last = events(server, job["id"])[-1]
        assert (last["state"], last["error"]) == ("done", None)
        layers = server.request(f"api/scenes/{last['scene']}").json()["layers"]
    assert {"flood", "sar_vv", "sar_before_vv"} <= {layer["name"] for layer in layers}


@pytest.mark.slow
def test_failed_job_has_the_sentence_of_the_terminal(workshop: AppProcess, tmp_path: Path) -> None:
    (tmp_path / "maps").mkdir(exist_ok=True)
    (tmp_path / "bad.tif").write_bytes(b"no raster")
    last = events(workshop, start(workshop, "bad", sar=[str(tmp_path / "bad.tif")])["id"])[-1]
    assert (last["state"], last["scene"]) == ("failed", None)
    assert last["error"].startswith(f"{tmp_path / 'bad.tif'}: cannot be read as a raster")
    assert not list((tmp_path / "maps").iterdir())


@pytest.mark.slow
def test_queue_progress_and_cancel(workshop: AppProcess, large_scene: Path, tmp_path: Path) -> None:
    running = start(workshop, "one", sar=[str(large_scene)], model="s1-lite")
    waiting = start(workshop, "two", sar=[str(large_scene)], model="s1-lite")
    same = workshop.request("api/jobs", "POST", {"kind": "predict", "name": "two", "settings": {}})
    assert (same.status, "another job makes this map" in same.json()["error"]) == (409, True)
    moving = wait_for(workshop, running["id"], "running", moving=True)
    assert 0 < moving["share"] < 1
    assert moving["phase"].startswith("mapped")
    assert workshop.request(f"api/jobs/{waiting['id']}").json() | {"seconds": 0} == waiting | {"position": 1}
    assert workshop.request(f"api/jobs/{waiting['id']}", "DELETE").json()["state"] == "cancelled"
    begin = time.monotonic()
    assert workshop.request(f"api/jobs/{running['id']}", "DELETE").json()["phase"] == "cancelling"
    wait_for(workshop, running["id"], "cancelled")
    assert time.monotonic() - begin < 4
    assert [job["state"] for job in workshop.request("api/jobs").json()["jobs"]] == ["cancelled", "cancelled"]
    assert not list((tmp_path / "maps").iterdir())


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_end_of_the_server_ends_its_job(
    large_scene: Path, map_root: Path, tmp_path: Path, number: signal.Signals
) -> None:
    maps = tmp_path / "maps"
    shutil.copytree(map_root / "maps/river", maps / "finished")
    with AppProcess(maps, [f"--folder={tmp_path}"]) as server:
        job = start(server, "lost", sar=[str(large_scene)], model="s1-lite")
        wait_for(server, job["id"], "running", moving=True)
        (child,) = psutil.Process(server.process.pid).children(recursive=True)
        code = server.stop(number)
        assert code == (-signal.SIGKILL if number == signal.SIGKILL else 0)
        psutil.wait_procs([child], timeout=30)
        assert not child.is_running()
    assert sorted(os.listdir(maps)) == ["finished"]  # noqa: PTH208 (hidden names, too)
    with AppProcess(maps) as server:
        assert [scene["name"] for scene in server.request("api/scenes").json()["scenes"]] == ["finished"]
        assert server.request("api/jobs").json() == {"jobs": []}


@pytest.mark.slow
@pytest.mark.parametrize(("number", "reason"), [(signal.SIGKILL, "Killed"), (signal.SIGSEGV, "Segmentation fault")])
def test_killed_job_leaves_no_files_and_the_next_one_runs(
    workshop: AppProcess, map_root: Path, large_scene: Path, tmp_path: Path, number: signal.Signals, reason: str
) -> None:
    job = start(workshop, "killed", sar=[str(large_scene)], model="s1-lite")
    wait_for(workshop, job["id"], "running", moving=True)
    (child,) = psutil.Process(workshop.process.pid).children()
    child.send_signal(number)
    assert f"ended by signal {int(number)} ({reason})" in wait_for(workshop, job["id"], "failed")["error"]
    assert not list((tmp_path / "maps").iterdir())
    sar = str(map_root / "scene/sar.tif")
    assert events(workshop, start(workshop, "killed", sar=[sar], model="otsu")["id"])[-1]["state"] == "done"


@pytest.mark.slow
def test_end_of_the_server_while_a_page_follows_a_job(workshop: AppProcess, large_scene: Path) -> None:
    job = start(workshop, "followed", sar=[str(large_scene)], model="s1-lite")
    with socket.create_connection(("127.0.0.1", workshop.port)) as connection:
        connection.sendall(f"GET /{TOKEN}/api/jobs/{job['id']}/events HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        assert b"200 OK" in connection.recv(1000)
        workshop.process.send_signal(signal.SIGINT)
        assert workshop.process.wait(30) == 0
    assert workshop.errors() == ""
