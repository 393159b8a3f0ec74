"""Local model hub: the routes from which the client of the Hugging Face Hub downloads files of a repository."""

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


@dataclass
class Hub:
    """Repositories of a hub, and the requests that it received."""

    revisions: dict[str, Path] = field(default_factory=dict)
    """Folder of the files by ``OWNER/NAME/REVISION``."""
    requests: list[tuple[str, str]] = field(default_factory=list)
    """Method and path of each request."""
    address: str = ""

    def publish(self, repository: str, revision: str, folder: Path) -> str:
        """Serve a folder as a revision and as a commit of a repository; return the commit."""
        content = b"".join(file.read_bytes() for file in sorted(folder.iterdir()))
        commit = hashlib.sha1(content).hexdigest()
        for name in (revision, commit):
            self.revisions[f"{repository}/{name}"] = folder
        return commit

    def find(self, path: str) -> tuple[str, Path] | None:
        """Return commit and file of a path ``/OWNER/NAME/resolve/REVISION/FILE``."""
        repository, _, rest = path.strip("/").partition("/resolve/")
        revision, _, name = rest.partition("/")
        folder = self.revisions.get(f"{repository}/{revision}")
        if folder is None or not (folder / name).is_file():
            return None
        commits = [key for key, each in self.revisions.items() if each == folder and key.startswith(f"{repository}/")]
        return next(key[-40:] for key in commits if len(key) > len(repository) + 40), folder / name


class _Handler(BaseHTTPRequestHandler):
    def __init__(self, hub: Hub, *arguments: object) -> None:
        self.hub = hub
        super().__init__(*arguments)  # type: ignore[arg-type]

    def log_message(self, format: str, *args: object) -> None:
        """Print nothing."""

    def do_GET(self) -> None:
        self._answer()

    def do_HEAD(self) -> None:
        self._answer()

    def _answer(self) -> None:
        self.hub.requests.append((self.command, self.path))
        found = self.hub.find(self.path)
        if found is None:
            known = any(key.startswith(self.path.strip("/").partition("/resolve/")[0]) for key in self.hub.revisions)
            self.send_response(404)
            self.send_header("X-Error-Code", "RevisionNotFound" if known else "RepoNotFound")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        commit, file = found
        content = file.read_bytes()
        self.send_response(200)
        self.send_header("X-Repo-Commit", commit)
        self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)


@contextmanager
def serving_hub() -> Iterator[Hub]:
    """Run a hub without repositories on this machine."""
    hub = Hub()
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, hub)) as server:
        hub.address = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=partial(server.serve_forever, poll_interval=0.02))
        thread.start()
        try:
            yield hub
        finally:
            server.shutdown()
            thread.join()
