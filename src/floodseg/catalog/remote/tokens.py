"""Tokens of a token service, which sign the addresses of files.

Planetary Computer's service answers ``{"token": QUERY, "msft:expiry": TIME}`` for the storage account and container of
a file. The query is added to the address for one request and stored nowhere.
"""

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import urlsplit

from floodseg.errors import DataError

_MIN_SECONDS = 60.0
"""A token that expires sooner is replaced, so that it does not expire during a request."""


@dataclass(frozen=True, slots=True)
class _Token:
    query: str
    expires: datetime

    @property
    def seconds_left(self) -> float:
        return (self.expires - datetime.now(UTC)).total_seconds()


class TokenSigner:
    """Signs addresses. Thread-safe; a token is requested once and used until shortly before it expires.

    Args:
        address: address of the token service; ``/ACCOUNT/CONTAINER`` is added, the first part of a file's host name and
            the first folder of its path.
        fetch: returns the body of an address, with retries.
    """

    def __init__(self, address: str, fetch: Callable[[str], bytes]) -> None:
        self._address, self._fetch = address, fetch
        self._tokens: dict[str, _Token] = {}
        self._lock = threading.Lock()

    def sign(self, href: str) -> str:
        """Return an address with a token that is valid now.

        Raises:
            DataError: the service does not answer, or its answer is no token.
        """
        service = self._service(href)
        with self._lock:
            token = self._tokens.get(service)
            if token is None or token.seconds_left < _MIN_SECONDS:
                token = self._tokens[service] = self._request(service)
        return f"{href}{'&' if urlsplit(href).query else '?'}{token.query}"

    def reject(self, signed: str) -> None:
        """Forget the token of an address that the server refused, unless it has been replaced already."""
        service = self._service(signed)
        with self._lock:
            token = self._tokens.get(service)
            if token is not None and signed.endswith(token.query):
                del self._tokens[service]

    def _service(self, href: str) -> str:
        url = urlsplit(href)
        account = (url.hostname or "").split(".")[0]
        return f"{self._address}/{account}/{url.path.lstrip('/').split('/')[0]}"

    def _request(self, service: str) -> _Token:
        try:
            answer = json.loads(self._fetch(service))
            expires = datetime.fromisoformat(answer["msft:expiry"])
            return _Token(str(answer["token"]), expires if expires.tzinfo else expires.replace(tzinfo=UTC))
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(
                f"{service}: the answer holds no token with a time of expiry; check the address of the token service "
                "of the source"
            ) from error
