"""Folders that the app may read: every path of a request is resolved and checked here."""

import json
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import Any

from floodseg.errors import DataError
from floodseg.server.errors import RequestError

_RASTERS = (".tif", ".tiff", ".vrt", ".jp2", ".img", ".hgt", ".zip", ".safe")
_VECTORS = (".gpkg", ".geojson", ".json", ".shp", ".fgb", ".kml")
_MAX_ENTRIES = 2000
"""Largest number of entries of one listing."""
_MAX_JSON_BYTES = 20_000_000


class Folders:
    """The folders that the app may read.

    Args:
        paths: existing folders; the first one receives new maps.
    """

    def __init__(self, paths: Iterable[Path]) -> None:
        resolved = list(dict.fromkeys(path.resolve() for path in paths))
        names: dict[str, Path] = {}
        for path in resolved:
            name, number = path.name or str(path), 2
            while name in names:
                name, number = f"{path.name} ({number})", number + 1
            names[name] = path
        self.by_name = names
        """Resolved folders by a unique name."""

    @property
    def output(self) -> Path:
        """Folder of new maps."""
        return next(iter(self.by_name.values()))

    def contains(self, path: Path) -> bool:
        """Return True if a path, with its symbolic links resolved, lies in one of the folders."""
        try:
            resolved = path.resolve()
        except (OSError, ValueError, RuntimeError):  # a null character, or a link that leads back to itself
            return False
        return any(resolved.is_relative_to(folder) for folder in self.by_name.values())

    def checked(self, text: str) -> Path:
        """Return the resolved path of an existing file or folder.

        Raises:
            RequestError: it lies outside the folders (403), or does not exist (404).
        """
        path = Path(text)
        if not path.is_absolute() or not self.contains(path):
            raise self.refusal(text)
        resolved = path.resolve()
        if not (resolved.is_file() or resolved.is_dir()):  # also a pipe or a device, which could be read without end
            raise RequestError(f"{text}: no such file; reload the list of files", 404)
        return resolved

    def read_json(self, file: Path) -> Any:
        """Return the content of a JSON file that can be sent as JSON: finite numbers, and texts of characters.

        Raises:
            RequestError: it lies outside the folders (403), or does not exist (404).
            DataError: it cannot be read, or is not JSON.
        """
        try:
            path = self.checked(str(file))
            status = path.stat()
            if status.st_size > _MAX_JSON_BYTES:
                raise ValueError(f"{status.st_size} bytes are too many")
            return _parsed(path, status.st_mtime_ns, status.st_size)
        except (OSError, ValueError, RecursionError) as error:
            raise DataError(f"{file}: is not JSON ({error}); make it again, or remove it") from error

    def refusal(self, name: str) -> RequestError:
        """Return the error for a file outside the folders."""
        folders = ", ".join(map(str, self.by_name.values()))
        return RequestError(
            f"{name}: is not in a folder of the app ({folders}); choose a file there, or start floodseg app with "
            "--folder",
            403,
        )

    def listing(self, name: str, below: str) -> dict[str, Any]:
        """Return the subfolders, rasters and vector files of a folder.

        Args:
            name: name of an allowed folder.
            below: path below it, with ``/``; "" for the folder itself.

        Raises:
            RequestError: the folder does not exist (404), or lies outside (403).
        """
        if name not in self.by_name:
            raise RequestError(f"folder '{name}': is not a folder of the app; reload the page", 404)
        folder = self.checked(f"{self.by_name[name]}/{below}")
        if not folder.is_dir():
            raise RequestError(f"{folder}: is a file; choose a folder", 404)
        entries = sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
        shown = [entry for entry in entries[:_MAX_ENTRIES] if self.contains(entry)]
        files = [entry for entry in shown if entry.suffix.lower() in (*_RASTERS, *_VECTORS)]
        return {
            "folders": [entry.name for entry in shown if entry.is_dir() and entry not in files],
            "files": [
                {"path": str(entry), "bytes": entry.stat().st_size if entry.is_file() else None}
                for entry in files
                if entry.exists()
            ],
            "left_out": max(0, len(entries) - _MAX_ENTRIES),
        }


@lru_cache(maxsize=64)
def _parsed(path: Path, changed: int, size: int) -> Any:
    """Return the content of a JSON file; ``changed`` and ``size`` are those of its last change."""
    document = json.loads(path.read_text(encoding="utf-8"))
    json.dumps(document, allow_nan=False, ensure_ascii=False).encode()  # raises ValueError for what cannot be sent
    return document
