"""Local copy of a remote file that holds only the parts that were read.

The copy has the size of the remote file, and holes where nothing was read. A journal beside it lists the parts, so that
a later run continues. GDAL reads the copy like any local file.
"""

import json
import os
import threading
from collections.abc import Sequence
from logging import getLogger
from pathlib import Path

from floodseg.catalog.remote.client import Client, Part, RemoteFile
from floodseg.catalog.remote.tiff import Range
from floodseg.errors import DataError

PAGE_BYTES = 16_384
"""Size of a request for directories of a file."""
MAX_HEADER_BYTES = 65_536
"""Largest number of bytes that are read for the directories of a file."""

_LOG = getLogger("floodseg")


class LocalCopy:
    """Partial copy of a remote file. Thread-safe.

    Args:
        path: place of the copy; the journal is beside it.
        remote: the file on the server.
        client: sends the requests.
    """

    def __init__(self, path: Path, remote: RemoteFile, client: Client) -> None:
        self.path, self.remote = path, remote
        self._client = client
        self._journal = path.with_name(f"{path.name}.parts")
        self._lock = threading.RLock()
        self._identity: tuple[int, str | None] | None = None
        self._present: list[Range] = []
        self._pages: set[int] = set()
        self._open_journal()
        path.touch()

    def remove(self) -> None:
        """Remove the copy and its journal."""
        for path in (self.path, self._journal):
            path.unlink(missing_ok=True)

    def read_header(self, offset: int, size: int) -> bytes:
        """Return bytes of the directories of the file. Missing ones are read from the server in pages.

        Raises:
            DataError: the directories are larger than ``MAX_HEADER_BYTES``, or the server does not serve them.
        """
        with self._lock:
            for page in range(offset // PAGE_BYTES, (offset + size - 1) // PAGE_BYTES + 1):
                if page in self._pages:
                    continue
                self._pages.add(page)
                if len(self._pages) * PAGE_BYTES > MAX_HEADER_BYTES:
                    raise DataError(
                        f"{self.remote.name}: its directories need more than {MAX_HEADER_BYTES // 1024} KiB, so it is "
                        "no cloud-optimized GeoTIFF of one band; use another source"
                    )
                start, stop = page * PAGE_BYTES, (page + 1) * PAGE_BYTES
                if self._identity is not None:
                    stop = min(stop, self._identity[0])
                if start < stop:
                    self.fetch((start, stop))
            with self.path.open("rb") as copy:
                copy.seek(offset)
                return copy.read(size)

    def missing(self, ranges: Sequence[Range]) -> list[Range]:
        """Return the ranges that are not completely in the copy."""
        with self._lock:
            return [(a, b) for a, b in ranges if not any(start <= a and b <= stop for start, stop in self._present)]

    def fetch(self, span: Range) -> int:
        """Read a range from the server into the copy unless it is there; return the number of bytes read.

        Raises:
            DataError: it cannot be read, or the file on the server has changed since its first part was read.
        """
        if not self.missing([span]):
            return 0
        part = self._client.part(self.remote, span[0], span[1] - span[0])
        with self._lock:
            self._check_identity(part)
            with self.path.open("r+b") as copy:
                copy.seek(span[0])
                copy.write(part.content)
            self._note(f"{span[0]} {span[0] + len(part.content)}")
            # a page at the end of the file is shorter than a page
            self._present.append((span[0], max(span[1], span[0] + len(part.content))))
        return len(part.content)

    def _check_identity(self, part: Part) -> None:
        identity = (part.file_size, part.version)
        if self._identity is None:
            self._identity = identity
            os.truncate(self.path, part.file_size)
            self._note(json.dumps(identity))
        elif identity != self._identity:
            self._journal.unlink(missing_ok=True)
            raise DataError(
                f"{self.remote.name}: has changed on the server while its parts were read; run the same command again"
            )

    def _note(self, line: str) -> None:
        with self._journal.open("a", encoding="utf-8") as journal:
            journal.write(line + "\n")

    def _open_journal(self) -> None:
        """Read the parts that an earlier run has left; start again if they cannot be used."""
        try:
            first, *lines = self._journal.read_text(encoding="utf-8").splitlines()
            size, version = json.loads(first)
            self._present = [(int(start), int(stop)) for start, stop in (line.split() for line in lines)]
            if self.path.stat().st_size != size:
                raise ValueError("the copy has another size")
            self._identity = (size, version)
        except FileNotFoundError:
            pass
        except (ValueError, TypeError) as error:
            _LOG.warning("%s: is read from the start, since its journal is damaged (%s)", self.remote.name, error)
            self._present = []
        if self._identity is None:
            self.remove()
