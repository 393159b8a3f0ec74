"""HTTP session that sends requests to named hosts only, also where a server redirects to another one."""

import logging
from collections.abc import Collection
from typing import Any
from urllib.parse import urlsplit

from requests import PreparedRequest, Response, Session


def _without_queries(record: logging.LogRecord) -> bool:
    """Remove queries, which hold signatures, from a log record of urllib3."""
    if isinstance(record.args, tuple):
        record.args = tuple(part.partition("?")[0] if isinstance(part, str) else part for part in record.args)
    return True


logging.getLogger("urllib3.connectionpool").addFilter(_without_queries)


class UnnamedHostError(Exception):
    """A request would go to a host that was not named when it was permitted."""

    def __init__(self, host: str) -> None:
        super().__init__(
            f"is on {host}, a host that the source does not name; set `source` to a TOML file with "
            f'data_hosts = ["{host}", ...], or use another source'
        )


class NamedHostsSession(Session):
    """Session that refuses requests to other hosts than ``hosts``; redirects are requests, too."""

    hosts: Collection[str] = ()

    def send(self, request: PreparedRequest, **kwargs: Any) -> Response:
        """Send a request.

        Raises:
            UnnamedHostError: its host is not among ``hosts``.
        """
        host = str(urlsplit(str(request.url)).hostname)
        if host not in self.hosts:
            raise UnnamedHostError(host)
        return super().send(request, **kwargs)
