"""Access rules: nothing is read over a network unless the user allows it."""

import re
from pathlib import Path

from floodseg.errors import ConfigError

_REMOTE = re.compile(
    r"(?<![a-z0-9+.-])(?!(?:file|vrt|zip|tar):)[a-z][a-z0-9+.-]*://|/vsi(?:curl|s3|gs|az|adls|oss|swift|hdfs|webhdfs)",
    re.IGNORECASE,
)
_CONTAINER = re.compile(r"^/vsi(?:zip|tar|gzip|7z|rar)/", re.IGNORECASE)


def is_remote(path: str) -> bool:
    """Tell whether GDAL would go to a network for ``path``: an address, or a virtual file system of one."""
    return _REMOTE.search(path) is not None


def check_local(path: str, flag: str, allow_remote: bool) -> None:
    """Refuse a remote file that was not allowed.

    Raises:
        ConfigError: ``path`` is an address and ``allow_remote`` is False.
    """
    if is_remote(path) and not allow_remote:
        raise ConfigError(
            f"`{flag}={path}`: is an address on a network, which is read only with `allow_remote`: "
            "add that flag, or download the file"
        )


def gdal_settings(allow_remote: bool) -> dict[str, str]:
    """Return GDAL options for opening files, under which a local VRT cannot send GDAL to a network or run code."""
    # The option names the only file that the network handlers may open; no file has this name.
    local = {} if allow_remote else {"CPL_VSIL_CURL_ALLOWED_FILENAME": "none"}
    return {"GDAL_VRT_ENABLE_PYTHON": "NO", **local}


def file_on_disk(path: str) -> Path | None:
    """Return the file or folder on this machine that holds ``path`` (the archive of ``/vsizip/...``), if any does."""
    if is_remote(path):
        return None
    local = Path(_CONTAINER.sub("", path))
    return next((place for place in (local, *local.parents) if place.exists() and place != Path()), None)
