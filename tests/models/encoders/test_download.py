"""Downloads that end in time: whole, or with a reason. Every server here is on this machine."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from floodseg.models.encoders import download as module
from floodseg.models.encoders.download import DownloadError, download

Answer = Callable[[socket.socket], object]
LIMITS = (module.CONNECT_SECONDS, module.STALL_SECONDS)


@contextmanager
def serving(answer: Answer) -> Iterator[str]:
    """Serve every connection with ``answer``, which gets the socket after the request was read."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.02)
        stop = threading.Event()

        def serve() -> None:
            while not stop.is_set():
                try:
                    connection, _ = listener.accept()
                except TimeoutError:
                    continue
                with connection:
                    connection.settimeout(5)
                    while b"\r\n\r\n" not in connection.recv(1 << 16):
                        pass
                    answer(connection)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}/weights.bin"
        finally:
            stop.set()
            thread.join()


def reply(body: bytes, *, length: int | None = None, status: str = "200 OK") -> bytes:
    head = (
        f"HTTP/1.1 {status}\r\nContent-Length: {len(body) if length is None else length}\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + body


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, no proxy, and limits short enough for a test."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(module, "CONNECT_SECONDS", 0.6)
    monkeypatch.setattr(module, "STALL_SECONDS", 0.8)
    return tmp_path / "hub" / "checkpoints"


def refused(url: str, reason: str, *, cache: Path) -> None:
    start = time.monotonic()
    with pytest.raises(DownloadError, match=reason):
        download(url, "weights.bin")
    assert time.monotonic() - start < 5
    assert not (cache / "weights.bin").exists()


def test_limits_are_ten_and_thirty_seconds() -> None:
    assert LIMITS == (10.0, 30.0)


def test_file_arrives_whole_and_is_not_asked_for_again(cache: Path) -> None:
    body = bytes(range(256)) * 1000
    with serving(lambda connection: connection.sendall(reply(body))) as url:
        assert download(url, "weights.bin") == cache / "weights.bin"
    assert (cache / "weights.bin").read_bytes() == body
    assert [path.name for path in cache.iterdir()] == ["weights.bin"]
    assert download(url, "weights.bin") == cache / "weights.bin"  # the server is gone


def test_slow_download_goes_on_as_long_as_bytes_come(cache: Path) -> None:
    def trickle(connection: socket.socket) -> None:
        connection.sendall(reply(b"", length=5))
        for _ in range(5):
            time.sleep(0.2)
            connection.sendall(b"x")

    with serving(trickle) as url:
        download(url, "weights.bin")
    assert (cache / "weights.bin").read_bytes() == b"xxxxx"


def test_closed_port_is_refused_at_once(cache: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    refused(f"http://127.0.0.1:{port}/weights.bin", "refused", cache=cache)


def test_name_look_up_that_hangs_counts_as_no_connection(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    release = threading.Event()

    def hang(*_arguments: object, **_options: object) -> object:
        release.wait(10)
        raise OSError("released")

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    refused("http://host.invalid/weights.bin", r"no connection within 0\.6 s", cache=cache)
    release.set()


def test_server_that_never_answers_counts_as_a_stall(cache: Path) -> None:
    release = threading.Event()
    with serving(lambda _connection: release.wait(10)) as url:
        refused(url, r"no byte within 0\.8 s|timed out", cache=cache)
        release.set()


def test_stall_in_the_middle_leaves_nothing_behind(cache: Path) -> None:
    release = threading.Event()

    def stall(connection: socket.socket) -> None:
        connection.sendall(reply(b"half", length=8))
        release.wait(10)

    with serving(stall) as url:
        refused(url, r"no byte within 0\.8 s|timed out", cache=cache)
        release.set()


def test_connection_that_ends_early_is_no_file(cache: Path) -> None:
    with serving(lambda connection: connection.sendall(reply(b"half", length=8))) as url:
        refused(url, "4 of 8 bytes|4 bytes read", cache=cache)
    assert list(cache.iterdir()) == []


def test_status_of_the_server_is_told(cache: Path) -> None:
    with serving(lambda connection: connection.sendall(reply(b"", status="404 Not Found"))) as url:
        refused(url, "the server answered 404 Not Found", cache=cache)


def test_answer_that_is_no_http_is_told(cache: Path) -> None:
    with serving(lambda connection: connection.sendall(b"SSH-2.0\r\n")) as url:
        refused(url, "SSH", cache=cache)
