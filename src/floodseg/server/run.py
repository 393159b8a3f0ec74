"""``floodseg app``: binds the port, prints the address, and serves until it is interrupted."""

import errno
import logging
import secrets
import socket
import threading
import webbrowser
from collections.abc import Callable
from types import FrameType

import uvicorn
from anyio import to_thread

from floodseg.config.app import AppConfig
from floodseg.errors import ConfigError
from floodseg.server.folders import Folders
from floodseg.server.guard import Guard, is_loopback
from floodseg.server.routes import make_app
from floodseg.server.workspace import Workspace
from floodseg.system.environment import thread_limit
from floodseg.system.files import require_writable

_PORTS_TRIED = 50
_WARNING = (
    "floodseg app listens at {host}: everyone who reaches this machine over the network and knows the token can read "
    "the folders of the app and start maps. The connection is not encrypted."
)


def run_app(config: AppConfig, as_shown: Callable[[str], str]) -> None:
    """Serve the app until SIGINT, SIGTERM or SIGHUP. A running job ends with it.

    Args:
        config: settings.
        as_shown: writes a message as the command line does, with settings as flags.

    Raises:
        ConfigError: a folder, the basemap, the address or the token cannot be used.
    """
    folders = _folders(config)
    if not is_loopback(config.host) and config.token is None:
        raise ConfigError(
            f"`host={config.host}`: is reached by other machines, so the address needs a secret that you choose; set "
            "`token` to 16 or more letters and digits"
        )
    listener = _listen(config.host, config.port)
    token = config.token or secrets.token_urlsafe(24)
    workspace = Workspace(folders, allow_remote=config.allow_remote, basemap=config.basemap, as_shown=as_shown)
    try:
        server = _Server(Guard(make_app(workspace), token, config.host), _address(config.host, listener, token))
        if not is_loopback(config.host):
            print(_WARNING.format(host=config.host), flush=True)
        if config.open:
            server.when_ready = webbrowser.open
        server.run([listener])
    finally:
        workspace.close()
        listener.close()


class _Server(uvicorn.Server):
    """Server that prints its address when it accepts requests."""

    def __init__(self, app: Guard, address: str) -> None:
        config = uvicorn.Config(
            app, log_config=None, access_log=False, server_header=False, lifespan="off", ws="none", proxy_headers=False,
            timeout_graceful_shutdown=1, limit_concurrency=200,
        )  # fmt: skip
        super().__init__(config)
        self._address = address
        self.when_ready: Callable[[str], object] | None = None

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """End the server on SIGINT or SIGTERM. uvicorn would send the signal again afterwards, as an error."""
        self.force_exit = self.should_exit
        self.should_exit = True
        logging.getLogger("uvicorn.error").disabled = True  # the end cuts off open requests, which is no error

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start to accept requests."""
        # one thread more than cores: GDAL needs processor and memory, and few requests wait for the disk
        to_thread.current_default_thread_limiter().total_tokens = thread_limit() + 1
        await super().startup(sockets)
        print(f"floodseg app: {self._address}  (Ctrl-C ends it)", flush=True)
        if self.when_ready is not None:  # in a thread, since some browsers block until they are closed
            threading.Thread(target=self.when_ready, args=(self._address,), daemon=True).start()


def _folders(config: AppConfig) -> Folders:
    require_writable(config.dir, "dir", folder=True)
    for folder in config.folder:
        if not folder.is_dir():
            raise ConfigError(f"`folder={folder}`: is not a folder; correct the path")
    if config.basemap is not None and not config.basemap.is_file():
        raise ConfigError(f"`basemap={config.basemap}`: no such file; give a PMTiles file")
    return Folders((config.dir, *config.folder))


def _listen(host: str, port: int) -> socket.socket:
    """Return a socket at the port, or at the next free one."""
    last: OSError | None = None
    for number in range(port, min(port + _PORTS_TRIED, 65536)) if port else (0,):
        try:
            family, kind, protocol, _, address = socket.getaddrinfo(host, number, type=socket.SOCK_STREAM)[0]
            listener = socket.socket(family, kind, protocol)
        except OSError as error:
            raise ConfigError(f"`host={host}`: is not an address of this machine ({error}); set another") from error
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            listener.listen()
            return listener
        except OSError as error:
            listener.close()
            if error.errno == errno.EADDRNOTAVAIL:
                raise ConfigError(f"`host={host}`: is not an address of this machine ({error}); set another") from error
            last = error
    raise ConfigError(f"`port={port}`: cannot be used at {host} ({last}); set another port, or 0 for any") from last


def _address(host: str, listener: socket.socket, token: str) -> str:
    port = listener.getsockname()[1]
    name = f"[{host}]" if ":" in host else host
    return f"http://{name}:{port}/{token}/"
