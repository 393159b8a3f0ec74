"""Local server of files: range requests, expiring tokens, injected faults, and counts of the bytes that it sends."""

import json
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

CONTAINER = "/container/"
TOKENS = "/token/"


@dataclass
class Fault:
    """Fault of one response."""

    status: int | None = None
    """Respond with this status and no content."""
    retry_after: int | str | None = None
    """Seconds, or an HTTP date."""
    cut: int | None = None
    """Close the connection after this number of bytes of the content."""
    location: str | None = None
    """Redirect to this address; ``status`` is 302."""
    complete: bool = False
    """Ignore the range and send the complete file with status 200."""


@dataclass
class FileServer:
    """Files of a folder below ``/container/``, tokens below ``/token/``, and the requests that were received."""

    root: Path
    needs_token: bool = False
    token_uses: int | None = None
    """Number of requests that a token is valid for; its time of expiry does not show it. None: no limit."""
    token_seconds: float = 2700.0
    faults: dict[str, list[Fault]] = field(default_factory=dict)
    """Faults of the next requests for a file, by its name; later requests have none."""
    always: dict[str, Fault] = field(default_factory=dict)
    """Faults of all requests for a file."""
    requests: list[tuple[str, int, int]] = field(default_factory=list)
    """Name, first byte and byte after the last of each answered request for a file."""
    attempts: list[str] = field(default_factory=list)
    """Name of the file of each request, answered or not."""
    tokens: dict[str, int] = field(default_factory=dict)
    """Uses of each token, in the order in which they were made."""
    versions: dict[str, str] = field(default_factory=dict)
    """Entity tags by name of the file."""
    lock: threading.Lock = field(default_factory=threading.Lock)
    url: str = ""

    def href(self, name: str) -> str:
        return f"{self.url}{CONTAINER}{name}"

    @property
    def token_address(self) -> str:
        return f"{self.url}{TOKENS.rstrip('/')}"

    def sent(self, name: str) -> int:
        """Return the bytes of a file that were sent."""
        return sum(stop - start for file, start, stop in self.requests if file == name)

    def accepts(self, query: dict[str, list[str]]) -> bool:
        token = query.get("sig", [""])[0]
        if not self.needs_token:
            return True
        if token not in self.tokens or (self.token_uses is not None and self.tokens[token] >= self.token_uses):
            return False
        self.tokens[token] += 1
        return True


def two_faults_each(names: Iterable[str]) -> dict[str, list[Fault]]:
    """Return two of the four kinds of faults for each file; a request has as many attempts left for refused tokens."""
    kinds = [Fault(429, retry_after=1), Fault(500), Fault(cut=10), Fault(403)]
    return {name: [kinds[number % 4], kinds[(number + 1) % 4]] for number, name in enumerate(sorted(names))}


class _Handler(BaseHTTPRequestHandler):
    server_state: FileServer
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        url, state = urlsplit(self.path), self.server_state
        if url.path.startswith(TOKENS):
            self._send_token()
            return
        name = unquote(url.path.removeprefix(CONTAINER))
        with state.lock:
            state.attempts.append(name)
            accepted = state.accepts(parse_qs(url.query))
            faults = state.faults.get(name)
            fault = faults.pop(0) if faults else state.always.get(name, Fault())
        path = state.root / name
        if not accepted:
            self._send_status(403)
        elif fault.status is not None:
            self._send_status(fault.status, fault.retry_after, fault.location)
        elif not path.is_file():
            self._send_status(404)
        else:
            self._send_file(name, path, fault)

    def _send_token(self) -> None:
        state = self.server_state
        with state.lock:
            token = f"secret-{len(state.tokens)}"
            state.tokens[token] = 0
        expiry = (datetime.now(UTC) + timedelta(seconds=state.token_seconds)).isoformat().replace("+00:00", "Z")
        body = json.dumps({"msft:expiry": expiry, "token": f"se=1&sig={token}"}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _send_status(self, status: int, retry_after: int | str | None = None, location: str | None = None) -> None:
        self.send_response(status)
        if location is not None:
            self.send_header("Location", location)
        if retry_after is not None:
            self.send_header("Retry-After", str(retry_after))
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _send_file(self, name: str, path: Path, fault: Fault) -> None:
        state, size = self.server_state, path.stat().st_size
        first, _, last = (self.headers["Range"] or "bytes=0-").removeprefix("bytes=").partition("-")
        start, stop = int(first), min(int(last) + 1 if last else size, size)
        if fault.complete:
            start, stop = 0, size
        self.send_response(200 if fault.complete else 206)
        if not fault.complete:
            self.send_header("Content-Range", f"bytes {start}-{stop - 1}/{size}")
        self.send_header("Content-Length", str(stop - start))
        self.send_header("ETag", state.versions.get(name, '"1"'))
        self.end_headers()
        with path.open("rb") as file:
            file.seek(start)
            content = file.read(stop - start)[: fault.cut]
        with state.lock:
            state.requests.append((name, start, start + len(content)))
        self.wfile.write(content)
        if fault.cut is not None:
            self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:
        pass


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Ignore clients that close the connection."""


@contextmanager
def serving(root: Path, **settings: Any) -> Iterator[FileServer]:
    """Serve the files of a folder until the block ends."""
    state = FileServer(root, **settings)
    server = _Server(("127.0.0.1", 0), type("Handler", (_Handler,), {"server_state": state}))
    state.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
