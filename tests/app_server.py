"""A process of ``floodseg app``, and a client that sends requests as they are written."""

import http.client
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self
from urllib.parse import urlsplit

TOKEN = "0123456789abcdefghij"


class Answer(NamedTuple):
    """Answer of the server."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """Return the document in the body."""
        return json.loads(self.body)


class AppProcess:
    """A running ``floodseg app``; a context manager that ends it.

    Args:
        folder: folder of the maps.
        flags: further flags of the command.
        port: port, or 0 for any.
    """

    def __init__(self, folder: Path, flags: Sequence[str] = (), port: int = 0) -> None:
        self.folder = folder
        self._log = tempfile.TemporaryFile("w+")  # noqa: SIM115 (closed in stop)
        self.process = subprocess.Popen(
            [
                sys.executable, "-m", "floodseg", "app", f"--dir={folder}", f"--port={port}", f"--token={TOKEN}",
                "--no-open", *flags,
            ],
            stdout=subprocess.PIPE, stderr=self._log, text=True,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        )  # fmt: skip
        assert self.process.stdout is not None
        self.output = ""
        while "http" not in self.output.rpartition("\n")[2]:
            character = self.process.stdout.read(1)
            if not character:
                raise RuntimeError(f"the app ended: {self.output}{self.errors()}")
            self.output += character
        self.output += self.process.stdout.readline()
        self.address = next(word for word in self.output.split() if word.startswith("http"))
        self.port = urlsplit(self.address).port or 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def errors(self) -> str:
        """Return what the process wrote to standard error."""
        self._log.seek(0)
        return self._log.read()

    def stop(self, number: int = signal.SIGINT) -> int:
        """End the process and return its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        code = self.process.wait(30)
        if self.process.stdout is not None:
            self.process.stdout.close()
        if not self._log.closed:
            errors = self.errors()
            self._log.close()
            assert "Traceback" not in errors, errors
        return code

    def request(
        self,
        path: str,
        method: str = "GET",
        body: bytes | Any = None,
        headers: Mapping[str, str] | None = None,
        token: str = TOKEN,
    ) -> Answer:
        """Send one request; ``path`` follows the token and is sent unchanged."""
        content = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method, f"/{token}/{path}", content, dict(headers or {}))
            answer = connection.getresponse()
            return Answer(answer.status, {name.lower(): text for name, text in answer.getheaders()}, answer.read())
        finally:
            connection.close()
