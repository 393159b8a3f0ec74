"""Files of a map: list, and an archive that is written while it is sent."""

import zipfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, cast

from floodseg.errors import FloodsegError
from floodseg.messages import printable
from floodseg.products.folder import ITEM
from floodseg.server.errors import RequestError
from floodseg.server.folders import Folders
from floodseg.server.scenes import MapFolder

_CHUNK_BYTES = 2**18


def product_list(scene: MapFolder, folders: Folders) -> list[dict[str, Any]]:
    """Return name, bytes and title of each product; the titles are those of ``item.json``."""
    titles = {ITEM: "STAC item of these files"}
    # a map without a date has no item
    with suppress(FloodsegError, LookupError, TypeError, AttributeError):
        assets = folders.read_json(scene.path / ITEM)["assets"].values()
        titles |= {asset["href"].removeprefix("./"): str(asset["title"]) for asset in assets if "title" in asset}
    return [
        {"name": name, "bytes": (scene.path / name).stat().st_size, "title": titles.get(name) or name}
        for name in scene.products
    ]


def product_file(scene: MapFolder, folders: Folders, name: str) -> Path:
    """Return the path of a product.

    Raises:
        RequestError: the map has no such product (404), or it is a link to a file outside the folders (403).
    """
    if name not in scene.products:
        raise RequestError(f"{name[:100]}: is not a product of this map; choose one of its list", 404)
    return folders.checked(str(scene.path / name))


def archive(scene: MapFolder, folders: Folders) -> Iterator[bytes]:
    """Yield a ZIP archive of all products, which are stored without compression.

    All files are opened before the first byte is sent, so that they are those of one map.
    """
    files = [product_file(scene, folders, name) for name in scene.products]
    folder = printable(scene.path.name)
    entries = [zipfile.ZipInfo.from_file(file, f"{folder}/{file.name}", strict_timestamps=False) for file in files]
    return _zip(list(zip(entries, [file.open("rb") for file in files], strict=True)))


def _zip(members: list[tuple[zipfile.ZipInfo, IO[bytes]]]) -> Iterator[bytes]:
    sink = _Sink()
    # ZipFile only writes and flushes
    with zipfile.ZipFile(cast(IO[bytes], sink), "w", zipfile.ZIP_STORED) as target:
        for entry, source in members:
            with source, target.open(entry, "w", force_zip64=True) as member:
                while chunk := source.read(_CHUNK_BYTES):
                    member.write(chunk)
                    yield sink.take()
            yield sink.take()
    yield sink.take()


class _Sink:
    """File that hands over what was written."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def write(self, data: bytes) -> int:
        self._parts.append(bytes(data))
        return len(data)

    def flush(self) -> None:
        """Do nothing."""

    def take(self) -> bytes:
        taken = b"".join(self._parts)
        self._parts.clear()
        return taken
