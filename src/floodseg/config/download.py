"""Settings of a download."""

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from floodseg.bands import SensorSet
from floodseg.config.base import Settings, WholeNumber, require
from floodseg.errors import ConfigError


@dataclass(frozen=True)
class DownloadConfig(Settings):
    """Part of a public data set to fetch, its server and the folder for it."""

    out_dir: Path
    """Folder that receives the official tree; --data takes it afterwards."""
    sensors: SensorSet = "both"
    """Imagery to fetch; labels, permanent water and the lists of the splits always come with it."""
    base_url: str = "https://storage.googleapis.com"
    """Server of the bucket, or a mirror that serves its XML API: http(s)://HOST[:PORT][/PATH]."""
    transfers: WholeNumber = 8
    """Files fetched at the same time."""
    overwrite: bool = False
    """Replace files that differ from those of the server; without it such files stop the download."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require(1 <= self.transfers <= 64, "transfers", self.transfers, "from 1 to 64")
        rule = "http(s)://HOST[:PORT][/PATH], without user name, password or query"
        try:
            url = urlsplit(self.base_url)
            host, _ = url.hostname, url.port
        except ValueError as error:
            raise ConfigError(f"`base_url`: must be {rule}") from error
        plain = bool(host) and "@" not in url.netloc and not url.query and not url.fragment
        # the rest of the address may hold a secret
        require(url.scheme in ("http", "https") and plain, "base_url", f"{url.scheme}://{host or ''}", rule)
