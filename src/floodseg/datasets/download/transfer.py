"""One file of a bucket: into a part beside its place, checked, then into its place.

The part is named after the file and its MD5 (``NAME.MD5.part``), so a part that is there belongs to the very content
that is listed now, whatever was listed when it was begun; parts of other contents are left-overs.
"""

import hashlib
import http.client
import os
import re
import threading
import time
from pathlib import Path

from floodseg.datasets.download.bucket import Bucket, Patience, RemoteFile, TransferError, chunks, retrying

_PART_NAME = re.compile(r".+\.[0-9a-f]{32}\.part")
_NO_MD5 = "0" * 32


class StoppedError(Exception):
    """The download was told to stop; its part stays."""


class Tally:
    """What all transfers of a download have done, and whether they are to stop; shared by their threads."""

    def __init__(self, present: int = 0) -> None:
        self.stop = threading.Event()
        self.present = present
        """Bytes that are there, of those to fetch."""
        self.received = 0
        """Bytes that came over the network, also those that came in vain."""
        self._lock = threading.Lock()
        self._last = time.monotonic()

    def count(self, present: int, received: int = 0) -> None:
        """Add to both counts (``present`` may be negative); a sign of life."""
        with self._lock:
            self.present += present
            self.received += received
            self._last = time.monotonic()

    @property
    def silent_s(self) -> float:
        """Seconds since the last byte."""
        return time.monotonic() - self._last

    def pause(self, seconds: float) -> None:
        """Wait; raise StoppedError when told to stop meanwhile."""
        if self.stop.wait(seconds):
            raise StoppedError


def part_of(target: Path, file: RemoteFile) -> Path:
    """Return where a file is kept until it is whole."""
    return target.with_name(f"{target.name}.{file.md5.hex() if file.md5 else _NO_MD5}.part")


def is_part(path: Path) -> bool:
    """Say whether a file has the name of a part."""
    return _PART_NAME.fullmatch(path.name) is not None


def size_of(path: Path) -> int:
    """Return the bytes of a file, 0 where there is none."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def matches(path: Path, file: RemoteFile) -> bool:
    """Say whether a local file has the size and, where one is listed, the MD5 of the remote one."""
    if not path.is_file() or path.stat().st_size != file.size:
        return False
    if file.md5 is None:
        return True
    with path.open("rb") as stream:
        # not a matter of security: the server that names the sum sends the bytes too
        return hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False)).digest() == file.md5


def fetch(bucket: Bucket, file: RemoteFile, target: Path, patience: Patience, tally: Tally) -> None:
    """Bring one file to ``target``, going on with its part where there is one.

    Raises:
        TransferError: it could not be had in as many tries as ``patience`` allows.
        StoppedError: ``tally`` told to stop.
        OSError: it cannot be written.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    transfer = _Transfer(bucket, file, part_of(target, file), tally)
    retrying(transfer.attempt, patience, patience.tries, tally.pause)
    os.replace(transfer.part, target)


class _Transfer:
    def __init__(self, bucket: Bucket, file: RemoteFile, part: Path, tally: Tally) -> None:
        self.bucket, self.file, self.part, self.tally = bucket, file, part, tally
        # without its MD5 nothing says that the parts of two tries belong together
        self._resumable = file.md5 is not None

    def attempt(self) -> None:
        """Complete the part and check it; a part that cannot become the file is removed."""
        start = size_of(self.part)
        if start and (not self._resumable or start > self.file.size):
            start = self._drop()
        if start < self.file.size or not self.part.exists():
            self._receive(start)
        if not matches(self.part, self.file):
            self._drop()
            raise TransferError("what came is not what the list of the server describes (MD5)")

    def _receive(self, start: int) -> None:
        try:
            with self.bucket.open(self.file.name, start) as response:
                self.tally.pause(0)
                begin = self._check(response, start)
                if begin < start:
                    self._drop()
                self._write(response, begin)
        except TransferError as error:
            if error.status == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
                self._drop()  # for servers that know no ranges at all
            raise

    def _check(self, response: http.client.HTTPResponse, start: int) -> int:
        """Return the byte with which the answer begins; raise TransferError where it is not of the file listed."""
        size = self.file.size
        begin = start if response.status == http.HTTPStatus.PARTIAL_CONTENT else 0
        length = response.headers.get("Content-Length")
        span = response.headers.get("Content-Range", "") if begin else f"bytes 0-{size - 1}/{size}"
        if span != f"bytes {begin}-{size - 1}/{size}" or (length is not None and length != str(size - begin)):
            raise TransferError(f"the server has a file of another size than it lists ({size} bytes)")
        return begin

    def _write(self, response: http.client.HTTPResponse, begin: int) -> None:
        have = begin
        with self.part.open("ab") as stream:
            for chunk in chunks(response, self.file.size - begin):
                self.tally.pause(0)  # nothing is written for a caller who has gone
                stream.write(chunk)
                have += len(chunk)
                self.tally.count(len(chunk), len(chunk))
            stream.flush()
            os.fsync(stream.fileno())
        if have < self.file.size:
            raise TransferError(f"the connection ended after {have} of {self.file.size} bytes")

    def _drop(self) -> int:
        """Remove the part and return 0, its size."""
        self.tally.count(-size_of(self.part))
        self.part.unlink(missing_ok=True)
        return 0
