"""A public bucket of Google Cloud Storage: the list of its files over the JSON API, their bytes over plain GETs.

::

    BASE/storage/v1/b/BUCKET/o?prefix=FOLDER/    a page of the list: name, size and md5Hash of each file, nextPageToken
    BASE/BUCKET/NAME                             the bytes of a file, or a part of them (Range)

https://cloud.google.com/storage/docs/json_api/v1/objects/list. A mirror serves the same two paths; one that answers
every list with that of the whole bucket will do, since names are filtered here again.
"""

import base64
import binascii
import http
import http.client
import json
import random
import re
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import quote, urlencode, urlsplit

from floodseg.errors import DataError

_RETRIED = frozenset({408, 416, 425, 429, 500, 502, 503, 504})
"""Answers after which another try may succeed; 416 (no such range) since a file is then fetched from its start."""
_LONGEST_RETRY_AFTER_S = 60.0
_LARGEST_PAGE = 1 << 26
_CHUNK_BYTES = 1 << 18
_MD5_BYTES = 16
_SIZE = re.compile(r"[0-9]{1,18}")

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a download waits for its server, and how often it tries again."""

    timeout_s: float = 30.0
    """Longest wait for a connection or for the next bytes of one."""
    tries: int = 8
    """Tries for each file; each goes on where the last one stopped."""
    list_tries: int = 4
    """Tries for each page of the list: who has no network is to know it soon."""
    first_wait_s: float = 0.5
    """Wait before the second try; doubled before each that follows, and shortened by chance."""
    longest_wait_s: float = 30.0
    list_s: float = 60.0
    """Longest time for the list of one folder: time-outs of a socket cover neither the look-up of its name nor the
    number of its addresses."""
    silence_s: float = 180.0
    """Longest time in which no byte of any file comes, for the same reason."""


class TransferError(Exception):
    """What went wrong with one request, in words that follow "because"."""

    def __init__(self, reason: str, *, status: int | None = None, wait_s: float = 0.0) -> None:
        super().__init__(reason)
        self.status = status
        self.final = status is not None and status not in _RETRIED
        self.wait_s = wait_s


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file as the bucket lists it."""

    name: str
    """Its path in the bucket, with slashes; safe to append to a folder."""
    size: int
    """Bytes."""
    md5: bytes | None
    """MD5 of its content; None for the rare file that was put together on the server."""


class Bucket:
    """One bucket behind one server. Proxies are those of the environment. No message holds a URL or its query."""

    def __init__(self, base_url: str, name: str, patience: Patience) -> None:
        self.host = urlsplit(base_url).netloc
        self._base = base_url.rstrip("/")
        self._name = name
        self._patience = patience
        self._opener = urllib.request.build_opener()

    def files(self, folder: str, suffix: str, pause: Callable[[float], None]) -> list[RemoteFile]:
        """Return the files directly in ``folder`` whose names end in ``suffix``, by name.

        Raises:
            TransferError: the server cannot be reached, or refuses.
            DataError: it does not answer with a list, or lists a name that would lead out of a folder.
        """
        query = {"prefix": f"{folder}/", "fields": "items(name,size,md5Hash),nextPageToken"}
        found: dict[str, RemoteFile] = {}
        tokens: set[str] = set()
        while True:
            page = retrying(lambda: self._page(query), self._patience, self._patience.list_tries, pause)
            for item in page.get("items", []):
                name = self._safe_name(item)
                parent, _, leaf = name.rpartition("/")
                if parent == folder and leaf.endswith(suffix):
                    found[name] = self._remote_file(name, item)
            token = page.get("nextPageToken")
            # a file that stands for the list names the same next page each time
            if not isinstance(token, str) or token in tokens:
                return [found[name] for name in sorted(found)]
            tokens.add(token)
            query["pageToken"] = token

    @contextmanager
    def open(self, name: str, start: int) -> Iterator[http.client.HTTPResponse]:
        """Ask for a file from byte ``start`` on; the answer may be the whole file (status 200) all the same.

        Raises:
            TransferError: the server cannot be reached, or refuses.
        """
        headers = {"Range": f"bytes={start}-"} if start else {}
        with self._get(f"/{self._name}/{quote(name)}", headers) as response:
            yield response

    def _page(self, query: Mapping[str, str]) -> dict[str, Any]:
        with self._get(f"/storage/v1/b/{self._name}/o?{urlencode(query)}", {}) as response:
            text = b"".join(chunks(response, _LARGEST_PAGE))
            expected = response.headers.get("Content-Length")
        if expected is not None and expected != str(len(text)):
            raise TransferError(f"the connection ended after {len(text)} of {expected} bytes of the list")
        try:
            page = json.loads(text)
        except (ValueError, RecursionError):
            page = None
        if not isinstance(page, dict) or not isinstance(page.get("items", []), list):
            raise DataError(
                f"{self.host}: does not answer with the list of a bucket; --base-url must serve the JSON API of Google "
                "Cloud Storage, and a network that asks for a login must be logged into first"
            )
        return page

    def _safe_name(self, item: object) -> str:
        name = item.get("name") if isinstance(item, dict) else None
        if (
            not isinstance(name, str)
            or not {"..", "."}.isdisjoint(name.split("/"))
            or name.startswith("/")
            or "\\" in name
            or not name.isprintable()
        ):
            raise DataError(
                f"{self.host}: lists a file named {name!r}; a name must stay within its folder, so nothing of this "
                "server is taken: name another --base-url"
            )
        return name

    def _remote_file(self, name: str, item: Mapping[str, object]) -> RemoteFile:
        size, md5 = str(item.get("size")), item.get("md5Hash")
        try:
            digest = None if md5 is None else base64.b64decode(str(md5), validate=True)
        except binascii.Error:
            digest = b""
        if not _SIZE.fullmatch(size) or (digest is not None and len(digest) != _MD5_BYTES):
            raise DataError(
                f"{self.host}: lists {name} with size {size} and md5Hash {md5}; the size must be a number and the hash "
                "base64 of 16 bytes: name another --base-url"
            )
        return RemoteFile(name, int(size), digest)

    @contextmanager
    def _get(self, path: str, headers: Mapping[str, str]) -> Iterator[http.client.HTTPResponse]:
        request = urllib.request.Request(self._base + path, headers={"User-Agent": "floodseg", **headers})
        try:
            response = self._opener.open(request, timeout=self._patience.timeout_s)
        except urllib.error.HTTPError as error:
            with error:  # it holds the connection
                raise _refusal(error) from error
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise TransferError(_reason(error)) from error
        with response:
            yield response


def retrying(work: Callable[[], Result], patience: Patience, tries: int, pause: Callable[[float], None]) -> Result:
    """Return what ``work`` returns, trying again after a TransferError that is not final; the last one is raised."""
    wait = patience.first_wait_s
    while True:
        try:
            return work()
        except TransferError as error:
            tries -= 1
            if error.final or tries <= 0:
                raise
            delay = max(error.wait_s, wait * random.uniform(0.5, 1))
        pause(delay)
        wait = min(2 * wait, patience.longest_wait_s)


def chunks(response: http.client.HTTPResponse, limit: int) -> Iterator[bytes]:
    """Yield the body of an answer as it comes; its end may come too soon, which the caller must check.

    Raises:
        TransferError: the connection broke or stalled, or the body is longer than ``limit`` bytes.
    """
    received = 0
    while True:
        try:
            chunk = response.read1(_CHUNK_BYTES)
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise TransferError(_reason(error)) from error
        if not chunk:
            return
        received += len(chunk)
        if received > limit:
            raise TransferError(f"the server sent more than {limit} bytes")
        yield chunk


def _refusal(error: urllib.error.HTTPError) -> TransferError:
    known = error.code in http.HTTPStatus.__members__.values()
    phrase = f" {http.HTTPStatus(error.code).phrase}" if known else ""
    after = error.headers.get("Retry-After", "")
    wait = min(float(after), _LONGEST_RETRY_AFTER_S) if after.isascii() and after.isdigit() else 0.0
    return TransferError(f"the server answered {error.code}{phrase}", status=error.code, wait_s=wait)


def _reason(error: Exception) -> str:
    """Return what broke; URLError wraps the true reason, and some exceptions say nothing but their name."""
    reason = getattr(error, "reason", error)
    words = getattr(reason, "strerror", None) or str(reason) or type(reason).__name__
    return " ".join(str(words).split())
