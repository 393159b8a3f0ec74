"""Start of the app: address, port, and the conditions for other machines."""

import http.client
import signal
import socket
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from app_server import TOKEN, AppProcess
from core_alone import run_with_core_alone
from floodseg.app.cli import main


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (["--host", "0.0.0.0"], "--host 0.0.0.0: is reached by other machines"),
        (["--token", "short"], "--token: must have 16 to 200 letters"),
        (["--token", "a/b/c/d/e/f/g/h/i/j"], "--token: must have 16 to 200 letters"),
        (["--host", "not a name", "--token", TOKEN], "--host not a name: is not an address of this machine"),
        (["--host", "192.0.2.1", "--token", TOKEN], "--host 192.0.2.1: is not an address of this machine"),
        (["--port", "70000"], "--port 70000: must be from 0 to 65535"),
        (["--folder", "missing"], "--folder missing: is not a folder"),
        (["--basemap", "missing.pmtiles"], "--basemap missing.pmtiles: no such file"),
    ],
)
def test_settings_are_refused(
    flags: list[str], sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stop:
        main(["app", "--no-open", *flags])
    assert stop.value.code == 2
    assert sentence in capsys.readouterr().err


def test_missing_packages_are_named() -> None:
    done = run_with_core_alone("app", "--no-open")
    assert done.returncode == 2
    assert "floodseg app needs starlette and uvicorn" in done.stderr
    assert "pip install 'floodseg[app]'" in done.stderr


def test_next_free_port_basemap_and_second_folder(map_root: Path, tmp_path: Path) -> None:
    (tmp_path / "world.pmtiles").write_bytes(bytes(range(256)))
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        flags = [f"--folder={map_root}", f"--basemap={tmp_path / 'world.pmtiles'}", "--allow-remote"]
        with AppProcess(tmp_path / "new", flags, port) as server:
            assert port < server.port <= port + 50
            info = server.request("api/info").json()
            assert [folder["path"] for folder in info["folders"]] == [str(tmp_path / "new"), str(map_root)]
            assert info["allow_remote"]
            assert {"place", "date"} <= {setting["name"] for setting in info["map_settings"]}
            part = server.request("basemap.pmtiles", headers={"Range": "bytes=16-31"})
            assert (part.status, part.body) == (206, bytes(range(16, 32)))
            (tmp_path / "world.pmtiles").unlink()
            assert "no such file any more" in server.request("basemap.pmtiles").json()["error"]
            assert server.stop() == 0


def test_other_machines_need_a_token_and_get_a_warning(tmp_path: Path) -> None:
    with AppProcess(tmp_path, ["--host=0.0.0.0"]) as server:
        assert "everyone who reaches this machine over the network and knows the token" in server.output
        assert server.request("api/info", headers={"Host": "192.168.0.7:80"}).status == 200
        assert server.request("api/info", headers={"Host": socket.gethostname()}).status == 200
        assert server.request("api/info", headers={"Host": "evil.example"}).status == 403
        assert server.request("api/info", token="wrong").status == 403


def test_end_during_a_download(tmp_path: Path) -> None:
    with (tmp_path / "world.pmtiles").open("wb") as stream:
        stream.truncate(100_000_000)
    with (
        AppProcess(tmp_path / "maps", [f"--basemap={tmp_path / 'world.pmtiles'}"]) as server,
        socket.create_connection(("127.0.0.1", server.port)) as connection,
    ):
        connection.sendall(f"GET /{TOKEN}/basemap.pmtiles HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        connection.recv(100)
        server.process.send_signal(signal.SIGINT)
        assert server.process.wait(30) == 0
        assert server.errors() == ""


def test_every_address_of_this_machine_serves_its_printed_address(tmp_path: Path) -> None:
    with AppProcess(tmp_path, ["--host=127.0.0.2"]) as server:
        address = urlsplit(server.address)
        assert address.hostname == "127.0.0.2"
        connection = http.client.HTTPConnection(address.netloc, timeout=30)
        connection.request("GET", f"{address.path}api/jobs")
        assert connection.getresponse().status == 200
        connection.close()
