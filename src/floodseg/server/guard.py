"""Guard in front of the app: token, Host and Origin of every request, size of bodies, security headers."""

import ipaddress
import secrets
import socket
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MAX_BODY_BYTES = 2**20

_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; worker-src 'self' blob:; img-src 'self' data: blob:; style-src 'self' 'unsafe-inline'; "
        "object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
}

_LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")


class Guard:
    """ASGI middleware that refuses requests of other pages, hosts and users.

    A page of another site can send requests to this server under its own name (DNS rebinding), but it knows neither the
    token nor can it set the Host header.

    Args:
        app: the app behind the guard; it finds its own path after the token.
        token: first part of every path.
        host: address that the server listens at.
    """

    def __init__(self, app: ASGIApp, token: str, host: str) -> None:
        self._app = app
        self._token = token
        self._has_other_names = not is_loopback(host)
        self._names = {*_LOOPBACK_NAMES, host.lower(), *(_machine_names() if self._has_other_names else ())}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        refusal = self._refusal(scope)
        bounded = _BoundedBody(receive)

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(_HEADERS)
            await send(message)

        if refusal is not None:
            await refusal(scope, receive, send_with_headers)
            return
        root = f"/{self._token}"
        await self._app({**scope, "root_path": root}, bounded.receive, send_with_headers)

    def _refusal(self, scope: Scope) -> PlainTextResponse | None:
        headers = Headers(scope=scope)
        host, origin = headers.get("host", ""), headers.get("origin")
        if not self._is_own_name(host):
            text = f"The host '{host[:100]}' is not this server; use the address that floodseg app printed."
            return PlainTextResponse(text, 403)
        if origin is not None and origin not in (f"http://{host}", f"https://{host}"):
            return PlainTextResponse("The request comes from another page; use the page of the app.", 403)
        token = scope["path"].split("/")[1] if scope["path"].startswith("/") else ""
        if not secrets.compare_digest(token.encode(), self._token.encode()):
            text = "The address lacks the token of this server; use the address that floodseg app printed."
            return PlainTextResponse(text, 403)
        length = headers.get("content-length", "0")
        if not length.isdecimal() or int(length) > MAX_BODY_BYTES:
            return PlainTextResponse(f"The request is larger than {MAX_BODY_BYTES} bytes; send less.", 413)
        return None

    def _is_own_name(self, host: str) -> bool:
        """Return True for a Host header that cannot be the name of another site."""
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            return False
        return name in self._names or (self._has_other_names and _is_address(name))


class _BoundedBody:
    """Receiver that ends a request whose body is larger than announced or has no length."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._bytes = 0

    async def receive(self) -> Message:
        message = await self._receive()
        self._bytes += len(message.get("body", b""))
        return message if self._bytes <= MAX_BODY_BYTES else {"type": "http.disconnect"}


def is_loopback(host: str) -> bool:
    """Return True if an address is reached from this machine only."""
    return host == "localhost" or (_is_address(host) and ipaddress.ip_address(host).is_loopback)


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _machine_names() -> tuple[str, ...]:
    return socket.gethostname().lower(), socket.getfqdn().lower()
