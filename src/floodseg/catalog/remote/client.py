"""HTTP requests with a bounded number of attempts; each attempt signs its address again.

A request is repeated if there is no connection, if the connection is cut or the answer is too short, for the statuses
in ``TEMPORARY_STATUSES``, and for 401 and 403 if the token can be replaced. Messages name the file by its item and
asset, never by its signed address.
"""

import threading
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from logging import getLogger
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from floodseg.catalog.remote.tokens import TokenSigner
from floodseg.catalog.retries import TEMPORARY_STATUSES, RetryPolicy
from floodseg.errors import DataError

if TYPE_CHECKING:
    import requests

    from floodseg.catalog.remote.named_hosts import NamedHostsSession

_REFUSED = (401, 403)

_LOG = getLogger("floodseg")
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """File on a server."""

    href: str
    """Address without access token."""
    name: str
    """Name in messages: "item ID, asset KEY"."""
    signer: TokenSigner | None = None
    """Adds a token to the address; None for public files."""


@dataclass(frozen=True, slots=True)
class Part:
    """Part of a remote file."""

    content: bytes
    file_size: int
    """Bytes of the complete file."""
    version: str | None
    """Entity tag of the file; None if the server sends none."""


class _FailedAttempt(Exception):  # noqa: N818 (never leaves this module)
    """An attempt failed, but another one may succeed."""

    def __init__(self, reason: str, retry_after: str | None = None) -> None:
        super().__init__(reason)
        self.retry_after = retry_after


class Client:
    """Sends requests. Thread-safe: each thread has its own connections.

    Args:
        retries: number of attempts and waiting times.
        transfers: number of simultaneous requests of :meth:`run_all`.
        hosts: hosts that may be asked; None permits the host of each file, but no redirect to another one.
    """

    def __init__(
        self, retries: RetryPolicy | None = None, transfers: int = 8, hosts: Collection[str] | None = None
    ) -> None:
        self._retries, self._transfers, self._hosts = retries or RetryPolicy(), transfers, hosts
        self._local = threading.local()
        self._sessions: list[NamedHostsSession] = []
        self._stopped = threading.Event()

    def close(self) -> None:
        """Close all connections. Attempts that wait end with an error."""
        self._stopped.set()
        for session in self._sessions:
            session.close()

    def run_all(self, jobs: Sequence[Callable[[], _T]]) -> list[_T]:
        """Run jobs that send requests, several at a time, and return their results in order.

        The first error cancels the jobs that wait, ends the attempts of the others, and is raised.
        """
        with ThreadPoolExecutor(self._transfers, "floodseg-transfer") as pool:
            futures = [pool.submit(job) for job in jobs]
            try:
                return [future.result() for future in futures]
            except BaseException:
                self._stopped.set()
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    def body(self, address: str) -> bytes:
        """Return the body of an unsigned address.

        Raises:
            DataError: all attempts failed, or the server refuses.
        """
        return self._repeat(RemoteFile(address, address), lambda response: bytes(response.content), {})

    def part(self, file: RemoteFile, offset: int, size: int) -> Part:
        """Return up to ``size`` bytes of a file from ``offset`` on; fewer only at its end.

        Raises:
            DataError: all attempts failed, the server refuses, or it serves no parts of files.
        """

        def read(response: Any) -> Part:
            if response.status_code != 206:
                raise DataError(
                    f"{file.name}: {_host(file.href)} sends complete files only, but parts are needed; use a source "
                    "whose server supports range requests"
                )
            span, _, total = response.headers.get("Content-Range", "").removeprefix("bytes ").partition("/")
            if not total.isdigit() or not span.startswith(f"{offset}-"):
                raise _FailedAttempt("it sent another part of the file")
            content = bytes(response.content)
            if len(content) != min(size, int(total) - offset):
                raise _FailedAttempt("the connection was cut")
            return Part(content, int(total), response.headers.get("ETag"))

        return self._repeat(file, read, {"Range": f"bytes={offset}-{offset + size - 1}"})

    @staticmethod
    def _check_scheme(file: RemoteFile) -> None:
        scheme = urlsplit(file.href).scheme
        if scheme not in ("http", "https"):
            raise DataError(
                f"{file.name}: its address begins with {scheme}:, but only http and https are read; use another source"
            )

    def _repeat(self, file: RemoteFile, read: Callable[[Any], _T], headers: dict[str, str]) -> _T:
        self._check_scheme(file)
        for failures in range(1, self._retries.attempts + 1):
            try:
                return self._attempt(file, read, headers)
            except _FailedAttempt as failure:
                # the cause is not chained: its text can hold the signed address
                reason, retry_after = str(failure), failure.retry_after
            if failures < self._retries.attempts:
                _LOG.debug("%s: %s; attempt %d follows", file.name, reason, failures + 1)
                if self._stopped.wait(self._retries.wait_s(failures, retry_after)):
                    break
        raise DataError(
            f"{file.name}: cannot be read from {_host(file.href)} ({reason}, {failures} attempts); run the same "
            "command again later, and it goes on where it stopped"
        )

    def _attempt(self, file: RemoteFile, read: Callable[[Any], _T], headers: dict[str, str]) -> _T:
        from requests import RequestException

        from floodseg.catalog.remote.named_hosts import UnnamedHostError

        session = self._session()
        session.hosts = (_host(file.href),) if self._hosts is None else self._hosts
        address = file.href if file.signer is None else file.signer.sign(file.href)
        all_headers = {"Accept-Encoding": "identity", **headers}
        try:
            with session.get(address, headers=all_headers, timeout=self._retries.timeout_s, stream=True) as response:
                self._check_status(file, address, response)
                return read(response)
        except UnnamedHostError as error:
            raise DataError(f"{file.name}: {error}") from None
        except RequestException as error:
            reason = _reason(error)
        raise _FailedAttempt(reason)

    @staticmethod
    def _check_status(file: RemoteFile, address: str, response: "requests.Response") -> None:
        status = response.status_code
        if status in _REFUSED and file.signer is not None:
            file.signer.reject(address)
            raise _FailedAttempt(f"the server refuses with status {status}")
        if status in TEMPORARY_STATUSES:
            raise _FailedAttempt(f"the server answers with status {status}", response.headers.get("Retry-After"))
        if status >= 300:
            raise DataError(
                f"{file.name}: {_host(file.href)} answers with status {status}; search again, since the catalogue may "
                "have changed, or use another source"
            )

    def _session(self) -> "NamedHostsSession":
        from floodseg.catalog.remote.named_hosts import NamedHostsSession

        if not hasattr(self._local, "session"):
            self._local.session = NamedHostsSession()
            self._sessions.append(self._local.session)
        session: NamedHostsSession = self._local.session
        return session


def _reason(error: Exception) -> str:
    """Return the kind of a failed connection without its address."""
    from requests import ConnectTimeout, ReadTimeout
    from requests.exceptions import ChunkedEncodingError

    if isinstance(error, ConnectTimeout | ReadTimeout):
        return "the server does not answer in time"
    return "the connection was cut" if isinstance(error, ChunkedEncodingError) else "no connection"


def _host(href: str) -> str:
    return urlsplit(href).hostname or href
