"""Settings of ``floodseg app``."""

import re
from dataclasses import dataclass
from pathlib import Path

from floodseg.config.base import Integer, Settings, require
from floodseg.errors import ConfigError

_TOKEN = re.compile(r"[A-Za-z0-9_-]{16,200}")


@dataclass(frozen=True)
class AppConfig(Settings):
    """Settings of ``floodseg app``."""

    dir: Path = Path()
    """Folder whose finished maps are shown, and in which new maps are written. It is created if it is missing."""
    folder: tuple[Path, ...] = ()
    """Further folders whose maps are shown and whose files can be mapped. Nothing outside of these folders is read."""
    port: Integer = 8437
    """Port of the server; if it is in use, the next free one. 0 takes any free port."""
    host: str = "127.0.0.1"
    """Address to listen at. By default the app is reached from this machine only. Another address needs --token."""
    token: str | None = None
    """Secret part of the address of the app: 16 or more letters, digits, - and _. By default random."""
    allow_remote: bool = False
    """Permit maps from a place and a date, which request data from public catalogues, as floodseg map does."""
    basemap: Path | None = None
    """Background map: a PMTiles file with vector or raster tiles. By default the outlines of countries are shown."""
    open: bool = True
    """Open the app in the browser."""

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "folder", tuple(Path(path) for path in self.folder))
        require(0 <= self.port <= 65535, "port", self.port, "from 0 to 65535")
        if self.token is not None and _TOKEN.fullmatch(self.token) is None:  # the message does not repeat the secret
            raise ConfigError(
                "`token`: must have 16 to 200 letters, digits, - and _; make one, for example with openssl rand -hex 16"
            )
