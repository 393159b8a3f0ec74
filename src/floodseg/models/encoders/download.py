"""Download one file of weights, or give up in time.

Two limits hold, whatever the network does: ``CONNECT_SECONDS`` for a connection (name look-up and encryption
included), and ``STALL_SECONDS`` without a byte. Socket time-outs alone would not do: they neither cover the look-up of
names nor the several addresses of a host, so the download runs in a thread of its own, and the caller stops waiting.
"""

import http.client
import os
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

import torch

CONNECT_SECONDS = 10.0
STALL_SECONDS = 30.0
_CHUNK_BYTES = 1 << 16


class DownloadError(Exception):
    """A file that cannot be had; the message says why, in words that follow "because"."""


class _Watch:
    """When the download must next have shown a sign of life, and whether the caller has given up on it."""

    def __init__(self) -> None:
        self.finished = threading.Event()
        self.given_up = False
        self.failure: str | None = "it broke off"
        self.connecting()

    def connecting(self) -> None:
        self._expect(CONNECT_SECONDS, "no connection")

    def alive(self) -> None:
        self._expect(STALL_SECONDS, "no byte")

    def _expect(self, seconds: float, lack: str) -> None:
        self._deadline = (time.monotonic() + seconds, f"{lack} within {seconds:g} s")

    def wait(self) -> None:
        """Return when the download has finished; raise DownloadError when it shows no life in time."""
        while True:
            deadline, lack = self._deadline
            if self.finished.wait(max(0.0, deadline - time.monotonic())):
                return
            if self._deadline == (deadline, lack):
                self.given_up = True
                raise DownloadError(lack)


def download(url: str, filename: str) -> Path:
    """Return the local copy of ``url`` among torch's cached checkpoints, downloading it first where there is none.

    Proxies are those of the environment.

    Raises:
        DownloadError: there is no connection, no byte for too long, no such file, or an incomplete one.
    """
    target = Path(torch.hub.get_dir()) / "checkpoints" / filename
    if target.is_file():
        return target
    watch = _Watch()
    # a daemon: a stalled look-up must not keep the program from ending
    threading.Thread(target=_work, args=(url, target, watch), daemon=True).start()
    watch.wait()
    if watch.failure is not None:
        raise DownloadError(watch.failure)
    return target


def _work(url: str, target: Path, watch: _Watch) -> None:
    try:
        _stream(url, target, watch)
        watch.failure = None
    except urllib.error.HTTPError as error:
        with error:  # it holds the connection
            watch.failure = f"the server answered {error.code} {error.reason}"
    except (OSError, http.client.HTTPException, ValueError) as error:  # URLError and time-outs are OSErrors
        watch.failure = str(getattr(error, "reason", error))
    finally:
        watch.finished.set()


def _stream(url: str, target: Path, watch: _Watch) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{os.getpid()}-{threading.get_ident()}-{target.name}")
    request = urllib.request.Request(url, headers={"User-Agent": "floodseg"})
    try:
        # the encoding must stay plain: the length is checked against the bytes received
        with _opener(watch).open(request, timeout=STALL_SECONDS) as response, partial.open("wb") as file:
            expected = response.headers.get("Content-Length")
            while chunk := response.read1(_CHUNK_BYTES):
                watch.alive()
                file.write(chunk)
                if watch.given_up:
                    return
        if expected is not None and partial.stat().st_size != int(expected):
            raise OSError(f"the connection ended after {partial.stat().st_size} of {expected} bytes")
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)


def _opener(watch: _Watch) -> urllib.request.OpenerDirector:
    """Return a URL opener, with the environment's proxies, that tells ``watch`` of each connection."""

    def watched(base: type[http.client.HTTPConnection]) -> Callable[..., http.client.HTTPConnection]:
        class Connection(base):  # type: ignore[valid-type,misc]  # http and https differ in their base class alone
            def connect(self) -> None:
                watch.connecting()
                super().connect()
                watch.alive()

        return Connection

    class HTTPHandler(urllib.request.HTTPHandler):
        def http_open(self, request: urllib.request.Request) -> http.client.HTTPResponse:
            return self.do_open(watched(http.client.HTTPConnection), request)

    class HTTPSHandler(urllib.request.HTTPSHandler):
        def https_open(self, request: urllib.request.Request) -> http.client.HTTPResponse:
            return self.do_open(watched(http.client.HTTPSConnection), request)

    return urllib.request.build_opener(HTTPHandler, HTTPSHandler)
