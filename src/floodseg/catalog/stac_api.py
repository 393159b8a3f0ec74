"""Item search of STAC APIs, with pystac-client and retries.

Each request is repeated on its own (the iterators of pystac-client end at an error, pystac-client#712), so a search
returns all items or fails. If the server refuses GET or POST for a page, the other method is
used (pystac-client#846).
"""

import json
import time
from collections.abc import Iterator, Mapping
from datetime import datetime
from logging import getLogger
from typing import Any
from urllib.parse import parse_qsl, urlsplit, urlunsplit

from pystac import Link
from pystac_client import ItemSearch
from pystac_client.exceptions import APIError
from pystac_client.stac_api_io import StacApiIO
from requests import Response

from floodseg.catalog.areas import Box
from floodseg.catalog.remote.named_hosts import NamedHostsSession, UnnamedHostError
from floodseg.catalog.retries import TEMPORARY_STATUSES, RetryPolicy
from floodseg.catalog.sources import Source
from floodseg.errors import DataError

_PAGE_SIZE = 100
_MAX_ITEMS = 5000
_LISTS = ("bbox", "collections", "ids")
"""Search parameters that are lists, separated by commas in a GET request."""
_METHOD_REFUSED = 405
_LOG = getLogger("floodseg")


def search_items(
    source: Source, collection: str, box: Box, period: tuple[datetime, datetime], retries: RetryPolicy
) -> list[dict[str, Any]]:
    """Return all items of a collection in a box and a period, as dictionaries.

    Raises:
        DataError: the API does not answer, refuses the search or returns more than 5,000 items.
    """
    api = _RetryingApi(source, retries)
    search = ItemSearch(
        f"{source.address}/search", stac_io=api, collections=[collection], bbox=box, datetime=period, limit=_PAGE_SIZE
    )
    items: list[dict[str, Any]] = []
    for page in _pages(api, search):
        features = page.get("features") if isinstance(page, dict) else None
        if not isinstance(features, list) or not all(isinstance(feature, dict) for feature in features):
            raise DataError(f"{source.host}: answered a search with something else than items; set another `source`")
        items += features
        if len(items) > _MAX_ITEMS:
            raise DataError(
                f"{source.host}: has more than {_MAX_ITEMS} items of {collection} in this area and time; set a smaller "
                "area or a shorter time"
            )
    return items


def _pages(api: "_RetryingApi", search: ItemSearch) -> Iterator[dict[str, Any]]:
    """Yield all pages; an empty one is not the last if it links to a next one."""
    parameters = search.get_parameters()
    page = api.read_json(search.url, method=search.method, parameters=parameters)
    for _ in range(_MAX_ITEMS):
        yield page
        following = _next_link(page)
        if following is None:
            return
        page = api.read_json(Link.from_dict(following), parameters=parameters)
    raise DataError(f"{urlsplit(search.url).netloc}: the pages of a search do not end; set another `source`")


def _next_link(page: dict[str, Any]) -> dict[str, Any] | None:
    links = page.get("links")
    known = [link for link in links if isinstance(link, dict)] if isinstance(links, list) else []
    return next((link for link in known if link.get("rel") == "next" and isinstance(link.get("href"), str)), None)


class _RetryingApi(StacApiIO):
    """Requests to a STAC API that are repeated a bounded number of times."""

    def __init__(self, source: Source, retries: RetryPolicy) -> None:
        super().__init__(max_retries=None, timeout=retries.timeout_s)
        self._host, self._retries = source.host, retries
        self.session = NamedHostsSession()
        self.session.hosts = source.hosts
        self._answer: Response | None = None
        self.session.hooks["response"].append(self._remember)

    def _remember(self, answer: Response, *_: Any, **__: Any) -> None:
        self._answer = answer

    def request(
        self,
        href: str,
        method: str | None = None,
        headers: dict[str, str] | None = None,
        parameters: dict[str, Any] | None = None,
    ) -> str:
        """Return the JSON text of an answer.

        Raises:
            DataError: the API does not answer, or refuses the request.
        """
        method = (method or "GET").upper()
        for failures in range(1, self._retries.attempts + 1):
            self._answer = None
            try:
                text = super().request(href, method, headers, parameters)
                json.loads(text)
                return text
            except (APIError, ValueError) as error:
                if isinstance(error.__context__, UnnamedHostError):
                    raise DataError(f"{self._host}: a part of the search {error.__context__}") from None
                answer = self._answer
                reason = _reason(answer, error)
                if answer is not None and answer.status_code == _METHOD_REFUSED:
                    href, method, parameters = _with_other_method(href, method, parameters)
                elif answer is not None and not answer.ok and answer.status_code not in TEMPORARY_STATUSES:
                    raise DataError(
                        f"{self._host}: refused the search ({reason}); check the address and the collections of the "
                        "source, or set another `source`"
                    ) from error
            if failures < self._retries.attempts:
                wait = self._retries.wait_s(failures, answer.headers.get("Retry-After") if answer is not None else None)
                _LOG.info("%s: %s; attempt %d follows in %.1f s", self._host, reason, failures + 1, wait)
                time.sleep(wait)
        raise DataError(
            f"{self._host}: the search failed {self._retries.attempts} times (last: {reason}); try again later, check "
            "the network, or set another `source`"
        )


def _reason(answer: Response | None, error: Exception) -> str:
    """Return why an attempt failed, without the address."""
    if answer is not None and not answer.ok:
        return f"status {answer.status_code}"
    if answer is not None:
        return "an answer that is cut or no JSON"
    return "no connection" if "onnection" in str(error) else "no answer"


def _with_other_method(href: str, method: str, parameters: Mapping[str, Any] | None) -> tuple[str, str, dict[str, Any]]:
    """Return a search with GET for one with POST, and the reverse."""
    parts = urlsplit(href)
    if method == "POST":
        flat = {
            key: ",".join(map(str, value)) if key in _LISTS and not isinstance(value, str) else value
            for key, value in (parameters or {}).items()
        }
        return href, "GET", flat
    found: dict[str, Any] = {**dict(parse_qsl(parts.query)), **(parameters or {})}
    for key in _LISTS:
        if isinstance(found.get(key), str):
            found[key] = found[key].split(",")
    if "bbox" in found:
        found["bbox"] = [float(value) for value in found["bbox"]]
    if "limit" in found:
        found["limit"] = int(found["limit"])
    return urlunsplit(parts._replace(query="")), "POST", found
