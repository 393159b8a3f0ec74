"""Settings of a download; apart from the download itself, so that the command line starts without the readers."""

from dataclasses import dataclass
from pathlib import Path
from typing import get_args
from urllib.parse import urlsplit

from floodseg.bands import SensorSet
from floodseg.config.base import WholeNumber
from floodseg.errors import ConfigError

_MOST_TRANSFERS = 64


@dataclass(frozen=True)
class DownloadConfig:
    """Which part of a public data set is fetched, from where, to where."""

    out_dir: Path
    """Folder that gets the official tree, to be given as --data afterwards."""
    sensors: SensorSet = "both"
    """Imagery to fetch; labels, permanent water and the lists of the splits always come with it."""
    base_url: str = "https://storage.googleapis.com"
    """Server of the bucket, or a mirror that serves the same paths: http(s)://HOST[:PORT][/PATH]."""
    transfers: WholeNumber = 8
    """Files fetched at the same time."""
    overwrite: bool = False
    """Replace files that differ from those of the server; without it nothing is fetched where there are such."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "out_dir", Path(self.out_dir))
        if self.sensors not in get_args(SensorSet):
            raise ConfigError(f"--sensors {self.sensors}: must be one of {', '.join(get_args(SensorSet))}")
        if not 1 <= self.transfers <= _MOST_TRANSFERS:
            raise ConfigError(f"--transfers {self.transfers}: must be from 1 to {_MOST_TRANSFERS}")
        self._check_url()

    def _check_url(self) -> None:
        rule = "must be http(s)://HOST[:PORT][/PATH], without user name, password or query"
        try:
            url = urlsplit(self.base_url)
            host, _ = url.hostname, url.port
        except ValueError as error:
            raise ConfigError(f"--base-url: {rule}") from error
        if url.scheme not in ("http", "https") or not host or "@" in url.netloc or url.query or url.fragment:
            # the rest may hold a secret
            raise ConfigError(f"--base-url {url.scheme}://{host or ''}: {rule}")
