"""Local bucket of Google Cloud Storage (XML API) with injected faults."""

import hashlib
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

BUCKET = "/sen1floods11"


@dataclass
class Fault:
    """Fault of one response to a request for a file."""

    status: int | None = None
    """Respond with this status and no file."""
    cut: int | None = None
    """Close the connection after this number of bytes of the body; Content-Length is that of the complete body."""
    stall: bool = False
    """Keep the connection open after ``cut`` bytes, until the server ends."""
    body: bytes | None = None
    """Send this instead of the file."""
    delay: float = 0.0
    """Seconds between pieces of 1000 bytes."""


@dataclass
class BucketServer:
    """Files and faults by file name, and the received requests."""

    files: dict[str, bytes]
    faults: dict[str, list[Fault]] = field(default_factory=dict)
    """Faults of the next responses for a file; later responses have none."""
    always: Fault | None = None
    """Fault of every other response."""
    page_size: int = 1000
    md5s: dict[str, str] = field(default_factory=dict)
    """Entity tags listed instead of the MD5."""
    change_list: Callable[[str], str] = lambda page: page
    listed: int = 0
    """Number of requests for a page of the list."""
    requests: list[tuple[str, str | None]] = field(default_factory=list)
    """Name and Range of each request for a file."""
    sent: int = 0
    """Bytes of files sent."""
    end: threading.Event = field(default_factory=threading.Event)
    url: str = ""

    def md5(self, name: str) -> str:
        return self.md5s.get(name) or hashlib.md5(self.files[name]).hexdigest()

    def page(self, query: dict[str, list[str]]) -> str:
        """Return one page of the list of the files whose names start with the prefix."""
        names = sorted(name for name in self.files if name.startswith(query["prefix"][0]))
        first = int(query.get("continuation-token", ["0"])[0])
        entries = "".join(
            f"<Contents><Key>{escape(name)}</Key><LastModified>2020-01-01T00:00:00.000Z</LastModified>"
            f'<ETag>"{self.md5(name)}"</ETag><Size>{len(self.files[name])}</Size></Contents>'
            for name in names[first : first + self.page_size]
        )
        after = first + self.page_size
        token = f"<NextContinuationToken>{after}</NextContinuationToken>" if after < len(names) else ""
        return self.change_list(f"<?xml version='1.0'?><ListBucketResult>{entries}{token}</ListBucketResult>")


class _Handler(BaseHTTPRequestHandler):
    bucket: BucketServer

    def do_GET(self) -> None:
        url, bucket = urlsplit(self.path), self.bucket
        if url.path == BUCKET:
            bucket.listed += 1
            self._respond("", bucket.page(parse_qs(url.query)).encode(), Fault())
            return
        name = unquote(url.path.removeprefix(f"{BUCKET}/"))
        bucket.requests.append((name, self.headers["Range"]))
        faults = bucket.faults.get(name)
        fault = faults.pop(0) if faults else bucket.always or Fault()
        self._respond(name, bucket.files[name] if fault.body is None else fault.body, fault)

    def _respond(self, name: str, body: bytes, fault: Fault) -> None:
        if fault.status is not None:
            self.send_response(fault.status)
            self.end_headers()
            return
        start, size = 0, len(body)
        if span := self.headers["Range"]:
            start = int(span.removeprefix("bytes=").partition("-")[0])
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{size - 1}/{size}")
        else:
            self.send_response(200)
        self.send_header("Content-Length", str(size - start))
        self.send_header("Last-Modified", "Wed, 01 Jan 2020 00:00:00 GMT")
        self.send_header("ETag", f'"{self.bucket.md5(name) if name else ""}"')
        self.end_headers()
        for first in range(start, len(body[: fault.cut]), 1000):
            piece = body[: fault.cut][first : first + 1000]
            self.wfile.write(piece)
            self.bucket.sent += len(piece) if name else 0
            time.sleep(fault.delay)
        if fault.stall:
            self.wfile.flush()
            self.bucket.end.wait(10)

    def log_message(self, format: str, *args: object) -> None:
        pass


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Ignore clients that close the connection, as interrupted downloads do."""


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
