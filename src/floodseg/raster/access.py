"""Access rules: remote files are read only with the user's permission."""

import re
from pathlib import Path

from floodseg.errors import ConfigError

_REMOTE = re.compile(
    r"(?<![a-z0-9+.-])(?!(?:file|vrt|zip|tar):)[a-z][a-z0-9+.-]*://|/vsi(?:curl|s3|gs|az|adls|oss|swift|hdfs|webhdfs)"
    r"|(?<![a-z0-9+.-])(?:https?|ftp|s3|gs|az|adls|oss|swift|hdfs|webhdfs):/",  # pathlib makes one slash of two
    re.IGNORECASE,
)
_CONTAINER = re.compile(r"^/vsi(?:zip|tar|gzip|7z|rar)/", re.IGNORECASE)


def is_remote(path: str) -> bool:
    """Return True if GDAL would read ``path`` over a network: a URL or a network file system such as /vsicurl/."""
    return _REMOTE.search(path) is not None


def check_local(path: str, setting: str, *, allow_remote: bool) -> None:
    """Refuse a remote file unless ``allow_remote`` is True.

    Raises:
        ConfigError: ``path`` is remote and ``allow_remote`` is False; the message names ``setting``.
    """
    if is_remote(path) and not allow_remote:
        raise ConfigError(
            f"`{setting}={path}`: is an address on a network, which is read only with `allow_remote`; set it, "
            "or download the file"
        )


def gdal_settings(*, allow_remote: bool) -> dict[str, str]:
    """Return GDAL options for opening files. A local VRT can then neither read from a network nor run code."""
    # The network handlers open only the file that this option names. No file has this name.
    local = {} if allow_remote else {"CPL_VSIL_CURL_ALLOWED_FILENAME": "none"}
    return {"GDAL_VRT_ENABLE_PYTHON": "NO", **local}


def file_on_disk(path: str) -> Path | None:
    """Return the local file or folder that contains ``path``, such as the archive of ``/vsizip/...``, or None."""
    if is_remote(path):
        return None
    local = Path(_CONTAINER.sub("", path))
    return next((place for place in (local, *local.parents) if place.exists() and place != Path()), None)
