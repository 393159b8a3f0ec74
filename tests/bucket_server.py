"""A bucket of Google Cloud Storage on this machine, which misbehaves on demand."""

import base64
import hashlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

LIST = "/storage/v1/b/sen1floods11/o"
OBJECTS = "/sen1floods11/"


@dataclass
class Fault:
    """How one answer for a file goes wrong; an answer without a fault is right."""

    status: int | None = None
    """Answer with this status and no file."""
    retry_after: str | None = None
    cut: int | None = None
    """Close the connection after so many bytes of the body; its length is announced as if all came."""
    stall: bool = False
    """Say nothing more after ``cut`` bytes, until the server ends."""
    no_range: bool = False
    """Send the whole file with status 200 whatever part is asked for."""
    body: bytes | None = None
    """Send this in place of the file."""
    delay: float = 0.0
    """Seconds between pieces of 1000 bytes."""


@dataclass
class BucketServer:
    """Content and faults by name of the file, and what was asked."""

    files: dict[str, bytes]
    faults: dict[str, list[Fault]] = field(default_factory=dict)
    always: Fault | None = None
    page_size: int = 1000
    list_faults: list[Fault] = field(default_factory=list)
    listing: Callable[[dict[str, Any]], object] = lambda page: page
    """Changes each page of the list."""
    listed: list[dict[str, list[str]]] = field(default_factory=list)
    asked: list[tuple[str, str | None]] = field(default_factory=list)
    """Name and Range of each request for a file."""
    sent: int = 0
    """Bytes of files sent."""
    end: threading.Event = field(default_factory=threading.Event)
    url: str = ""

    def page(self, query: dict[str, list[str]]) -> object:
        names = sorted(name for name in self.files if name.startswith(query["prefix"][0]))
        token = query.get("pageToken", [""])[0]
        first = int(token) if token.isdigit() else 0
        items = [
            {
                "name": name,
                "size": str(len(self.files[name])),
                "md5Hash": base64.b64encode(hashlib.md5(self.files[name]).digest()).decode(),
            }
            for name in names[first : first + self.page_size]
        ]
        page: dict[str, Any] = {"items": items} if items else {}
        if first + self.page_size < len(names):
            page["nextPageToken"] = str(first + self.page_size)
        return self.listing(page)


class _Handler(BaseHTTPRequestHandler):
    bucket: BucketServer

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        bucket = self.bucket
        if url.path == LIST:
            bucket.listed.append(parse_qs(url.query))
            fault = bucket.list_faults.pop(0) if bucket.list_faults else Fault()
            self._answer(json.dumps(bucket.page(bucket.listed[-1])).encode(), fault)
            return
        name = unquote(url.path.removeprefix(OBJECTS))
        bucket.asked.append((name, self.headers["Range"]))
        faults = bucket.faults.get(name)
        fault = faults.pop(0) if faults else bucket.always or Fault()
        if name not in bucket.files:
            fault = Fault(status=404)
        self._answer(fault.body if fault.body is not None else bucket.files.get(name, b""), fault)

    def _answer(self, body: bytes, fault: Fault) -> None:
        if fault.status is not None:
            self.send_response(fault.status)
            if fault.retry_after is not None:
                self.send_header("Retry-After", fault.retry_after)
            self.end_headers()
            return
        start, size = 0, len(body)
        asked = self.headers["Range"]
        if asked and not fault.no_range:
            start = int(asked.removeprefix("bytes=").removesuffix("-"))
            if start >= size:
                self.send_response(416)
                self.end_headers()
                return
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{size - 1}/{size}")
        else:
            self.send_response(200)
        self.send_header("Content-Length", str(size - start))
        self.end_headers()
        self._send(body[start:], fault)

    def _send(self, body: bytes, fault: Fault) -> None:
        for first in range(0, len(body[: fault.cut]), 1000):
            piece = body[: fault.cut][first : first + 1000]
            self.wfile.write(piece)
            if not self.path.startswith(LIST):
                self.bucket.sent += len(piece)
            if fault.delay:
                time.sleep(fault.delay)
        if fault.stall:
            self.wfile.flush()
            self.bucket.end.wait(10)

    def log_message(self, format: str, *args: object) -> None:
        pass


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that has gone away is what is tested here."""


@contextmanager
def serving(files: dict[str, bytes], **settings: Any) -> Iterator[BucketServer]:
    """Serve a bucket until the block ends."""
    bucket = BucketServer(files, **settings)
    server = _Server(("127.0.0.1", 0), type("Handler", (_Handler,), {"bucket": bucket}))
    bucket.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield bucket
    finally:
        bucket.end.set()
        server.shutdown()
        server.server_close()
        thread.join()
