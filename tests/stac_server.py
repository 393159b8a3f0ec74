"""Local STAC API for tests: item search by GET and POST, token paging, and injected faults."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from shapely.geometry import box, shape


@dataclass
class SearchFault:
    """Fault of one response."""

    status: int | None = None
    """Respond with this status and no items."""
    retry_after: str | None = None
    cut: int | None = None
    """Close the connection after this number of bytes of the content."""
    body: bytes | None = None
    """Send this with status 200 instead of the items."""
    method: str | None = None
    """The fault holds for requests of this method only, and is not used up by others."""
    always: bool = False
    """The fault is never used up."""


@dataclass
class StacServer:
    """Items, faults by page, and the requests that were received."""

    items: list[dict[str, Any]]
    page_size: int = 10
    faults: dict[int, list[SearchFault]] = field(default_factory=dict)
    """Faults of the next requests for a page, from 0; later requests have none."""
    empty_page: int | None = None
    """A page without items that is put before this one; it links to the next."""
    next_by_get: bool = False
    """Links to the next page are addresses for GET, also after POST."""
    next_url: str | None = None
    """Host to which links to the next page lead; by default this one."""
    requests: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    """Method and parameters of each request, answered or not."""
    url: str = ""

    def found(self, query: dict[str, Any]) -> list[dict[str, Any]]:
        """Return the items that fit a query, the newest first."""
        area = box(*query["bbox"])
        start, _, end = query["datetime"].partition("/")
        fitting = [
            item
            for item in self.items
            if item["collection"] in query["collections"]
            and shape(item["geometry"]).intersects(area)
            and start <= item["properties"]["datetime"] <= end
        ]
        return sorted(fitting, key=lambda item: str(item["properties"]["datetime"]), reverse=True)

    def page(self, method: str, query: dict[str, Any]) -> dict[str, Any]:
        """Return one page of the items that fit a query, with a link to the next."""
        number, first = page_number(query), int(str(query.get("token", "0:0")).split(":")[1])
        items = [] if number == self.empty_page else self.found(query)[first : first + self.page_size]
        after = first + len(items)
        links = []
        if after < len(self.found(query)):
            token = f"{number + 1}:{after}"
            if method == "POST" and not self.next_by_get:
                links = [self._link(method="POST", body={"token": token}, merge=True)]
            else:
                flat = {
                    key: ",".join(map(str, value)) if isinstance(value, list) else value for key, value in query.items()
                }
                links = [self._link(f"?{urlencode({**flat, 'token': token})}", method="GET")]
        return {"type": "FeatureCollection", "features": items, "links": links}

    def fault(self, number: int, method: str) -> SearchFault:
        waiting = self.faults.get(number, [])
        if not waiting or waiting[0].method not in (None, method):
            return SearchFault()
        return waiting[0] if waiting[0].always else waiting.pop(0)

    def _link(self, query: str = "", **fields: Any) -> dict[str, Any]:
        return {
            "rel": "next",
            "type": "application/geo+json",
            "href": f"{self.next_url or self.url}/search{query}",
            **fields,
        }


def page_number(query: dict[str, Any]) -> int:
    """Return the number of the page that a query asks for, from 0."""
    return int(str(query.get("token", "0:0")).split(":")[0])


class _Handler(BaseHTTPRequestHandler):
    state: StacServer

    def do_GET(self) -> None:
        query: dict[str, Any] = dict(parse_qsl(urlsplit(self.path).query))
        self._answer({
            **query,
            "bbox": [float(value) for value in query["bbox"].split(",")],
            "collections": query["collections"].split(","),
        })  # fmt: skip

    def do_POST(self) -> None:
        self._answer(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

    def _answer(self, query: dict[str, Any]) -> None:
        self.state.requests.append((self.command, query))
        fault = self.state.fault(page_number(query), self.command)
        if urlsplit(self.path).path != "/search":
            fault = SearchFault(status=404)
        body = fault.body or json.dumps(self.state.page(self.command, query)).encode()
        self.send_response(fault.status or 200)
        if fault.retry_after is not None:
            self.send_header("Retry-After", fault.retry_after)
        self.send_header("Content-Type", "application/geo+json")
        self.send_header("Content-Length", "0" if fault.status else str(len(body)))
        self.end_headers()
        if not fault.status:
            self.wfile.write(body[: fault.cut])

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def serving_items(items: list[dict[str, Any]], **settings: Any) -> Iterator[StacServer]:
    """Serve a STAC API until the block ends."""
    state = StacServer(items, **settings)
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"state": state}))
    server.daemon_threads = True
    state.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
