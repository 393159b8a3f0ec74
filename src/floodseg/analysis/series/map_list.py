"""Paths of the maps of a series: a folder, a CSV list, or a sequence of paths."""

import csv
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from floodseg.errors import DataError
from floodseg.products.folder import CLASSES

COLUMNS = ("map", "datetime", "orbit")
"""Columns of a list of maps; only ``map`` is required."""
_TIFF = (".tif", ".tiff")


@dataclass(frozen=True, slots=True)
class ListedMap:
    """A map with what a list says of it."""

    path: Path
    datetime: str | None = None
    """Acquisition time in ISO 8601; None if the list does not hold it."""
    orbit: str | None = None
    source: str = "list of maps"
    """Name and line of the list, for messages."""


def list_maps(maps: Path | str | Sequence[Path | str]) -> list[ListedMap]:
    """Return the maps of a folder, of a CSV list or of a sequence of paths.

    In a folder these are the files ``flood.tif`` in it and below it, as ``floodseg predict-many`` writes them. A folder
    without them holds the maps themselves: all its GeoTIFFs. Hidden files and folders are skipped.

    Raises:
        DataError: the folder or list does not exist, holds no map, or cannot be read.
    """
    if not isinstance(maps, Path | str):
        listed = [ListedMap(Path(each)) for each in maps]
    elif Path(maps).is_dir():
        listed = [ListedMap(path) for path in _maps_in_folder(Path(maps))]
    elif Path(maps).suffix.lower() == ".csv":
        listed = _read_list(Path(maps))
    else:
        raise DataError(
            f"{maps}: is neither a folder nor a list of maps; give the folder of floodseg predict-many, or a CSV file "
            f"with the columns {', '.join(COLUMNS)}"
        )
    if not listed:
        raise DataError(
            f"{maps}: holds no map; give a folder with maps (flood.tif of floodseg predict, or other GeoTIFFs), or a "
            f"CSV file with the columns {', '.join(COLUMNS)}"
        )
    return listed


def _maps_in_folder(folder: Path) -> list[Path]:
    found = []
    for parent, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        found += [Path(parent) / name for name in files if name == CLASSES]
    return found or sorted(
        path for path in folder.iterdir() if path.suffix.lower() in _TIFF and not path.name.startswith(".")
    )


def _read_list(path: Path) -> list[ListedMap]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            first_line = stream.readline()
            stream.seek(0)
            # some spreadsheets write semicolons; floodseg predict-many reads its list in the same way
            delimiter = ";" if ";" in first_line and "," not in first_line else ","
            reader = csv.reader(stream, delimiter=delimiter, skipinitialspace=True, strict=True)
            names = [name.strip().lower() for name in next(reader, [])]
            _check_columns(path, names)
            rows = [(reader.line_num, row) for row in reader if any(cell.strip() for cell in row)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: cannot be read as a CSV file in UTF-8 ({error}); save it as CSV in UTF-8") from error
    return [_listed(path, line, names, row) for line, row in rows]


def _check_columns(path: Path, names: Sequence[str]) -> None:
    unknown = [name for name in names if name not in COLUMNS]
    if unknown or "map" not in names or len(set(names)) < len(names):
        raise DataError(
            f"{path}: has the columns {', '.join(names) or 'of an empty file'}; name them in the first line: map, and "
            "if needed datetime and orbit, once each, separated by commas or semicolons"
        )


def _listed(path: Path, line: int, names: Sequence[str], row: Sequence[str]) -> ListedMap:
    cells = {name: value.strip() or None for name, value in zip(names, row, strict=False)}
    if len(row) != len(names) or cells["map"] is None:
        raise DataError(f"{path}, line {line}: must have a map, and a cell for each column; correct the line")
    source = f"list of maps {path}, line {line}"
    return ListedMap(path.parent / cells["map"], cells.get("datetime"), cells.get("orbit"), source)
