"""Settings of ``floodseg data download``."""

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from floodseg.bands import SensorSet
from floodseg.config.base import Integer, Settings, require
from floodseg.errors import ConfigError


@dataclass(frozen=True)
class DownloadConfig(Settings):
    """Sensors to download, their server and the destination folder."""

    out_dir: Path
    """Folder to download to. The official folder structure is created in it. Other commands take this folder as
    --data."""
    sensors: SensorSet = "both"
    """Images to download. Labels, permanent water and split lists are always downloaded."""
    base_url: str = "https://storage.googleapis.com"
    """Server of the storage bucket of Sen1Floods11, or a mirror with the same XML API: http(s)://HOST[:PORT][/PATH]."""
    transfers: Integer = 8
    """Number of simultaneous downloads."""
    overwrite: bool = False
    """Replace local files that differ from the server's. Without this flag, the download stops at such a file."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require(1 <= self.transfers <= 64, "transfers", self.transfers, "from 1 to 64")
        rule = "http(s)://HOST[:PORT][/PATH], without user name, password or query"
        try:
            url = urlsplit(self.base_url)
            host, _ = url.hostname, url.port
        except ValueError as error:
            raise ConfigError(f"`base_url`: must be {rule}") from error
        only_host_and_path = bool(host) and "@" not in url.netloc and not url.query and not url.fragment
        # the message shows no more of the address, since the rest may hold a secret
        shown = f"{url.scheme}://{host or ''}"
        require(url.scheme in ("http", "https") and only_host_and_path, "base_url", shown, rule)
