"""Readers of scene tables (CSV and GeoParquet)."""

import csv
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from floodseg.cluster.extra import import_extra
from floodseg.errors import DataError

_GEOPARQUET_COLUMNS = ("geometry", "bbox")
"""Columns with the location of a scene. They are ignored, since the files of the scene hold it."""


def read_table(path: Path) -> list[dict[str, Any]]:
    """Return the rows of a table as dictionaries by column. Empty cells are '' or None.

    Raises:
        DataError: the table cannot be read, or has an unsupported format.
        ConfigError: the table is a Parquet file, and the extra ``cluster`` is not installed.
    """
    suffix = path.suffix.lower()
    if suffix == ".csv":
        return _read_csv(path)
    if suffix in (".parquet", ".geoparquet"):
        return _read_parquet(path)
    raise DataError(f"{path}: a list of scenes must be .csv, .parquet, .geoparquet, .json or .geojson; convert it")


def _read_csv(path: Path) -> list[dict[str, Any]]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            delimiter = _delimiter(stream.readline())
            stream.seek(0)
            reader = csv.reader(stream, delimiter=delimiter, skipinitialspace=True, strict=True)
            header = _columns(path, next(reader, []))
            rows = [(reader.line_num, row) for row in reader if any(cell.strip() for cell in row)]
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: is not a CSV file in UTF-8 ({error}); save it as CSV in UTF-8") from error
    for line, row in rows:
        if len(row) != len(header):
            separator = "comma" if delimiter == "," else "semicolon"
            raise DataError(
                f"{path}, line {line}: has {len(row)} cells, but the first line names {len(header)} columns; write a "
                f"cell for each column, in quotation marks where it holds a {separator}"
            )
    return [dict(zip(header, row, strict=True)) for _, row in rows]


def _delimiter(first_line: str) -> str:
    """Return the separator of cells: semicolons, as some spreadsheets write, only in a first line without commas."""
    return ";" if ";" in first_line and "," not in first_line else ","


def _columns(path: Path, names: Iterable[str]) -> list[str]:
    """Return the names of columns in lower case, without blanks around them.

    Raises:
        DataError: two names are equal.
    """
    columns = [name.strip().lower() for name in names]
    double = next((name for name in columns if columns.count(name) > 1), None)
    if double is not None:
        raise DataError(f"{path}: has two columns '{double}'; rename one of them")
    return columns


def _read_parquet(path: Path) -> list[dict[str, Any]]:
    parquet = import_extra("pyarrow.parquet")
    try:
        file = parquet.ParquetFile(path)
        names = [name for name in file.schema_arrow.names if name not in _GEOPARQUET_COLUMNS]
        rows: list[dict[str, Any]] = file.read(columns=names).to_pylist()
    except (OSError, ValueError) as error:  # pyarrow's own errors are ValueErrors
        raise DataError(f"{path}: is not a complete Parquet file ({error}); write it again") from error
    columns = dict(zip(names, _columns(path, names), strict=True))
    return [{columns[name]: value for name, value in row.items()} for row in rows]
