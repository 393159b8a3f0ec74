"""Tables of scenes: CSV and GeoParquet read as rows of plain values."""

import csv
from pathlib import Path
from typing import Any

from floodseg.cluster.extra import import_extra
from floodseg.errors import DataError

_GEOPARQUET_COLUMNS = ("geometry", "bbox")
"""Columns for the place of a scene, which its files have too."""


def read_table(path: Path) -> list[dict[str, Any]]:
    """Return the rows of a table by column; empty cells are '' or None.

    Raises:
        DataError: it cannot be read, or has another format.
        ConfigError: it is a Parquet file, and the extra ``cluster`` is not installed.
    """
    suffix = path.suffix.lower()
    if suffix == ".csv":
        return _read_csv(path)
    if suffix in (".parquet", ".geoparquet"):
        return _read_parquet(path)
    raise DataError(f"{path}: a list of scenes must be .csv, .parquet, .geoparquet, .json or .geojson: convert it")


def _read_csv(path: Path) -> list[dict[str, Any]]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.reader(stream, strict=True)
            header = [name.strip() for name in next(reader, [])]
            rows = [(reader.line_num, row) for row in reader if any(cell.strip() for cell in row)]
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: is not a CSV file in UTF-8 ({error}): save it as one") from error
    double = next((name for name in header if header.count(name) > 1), None)
    if double is not None:
        raise DataError(f"{path}: has two columns '{double}': name each once, in the first line")
    for line, row in rows:
        if len(row) != len(header):
            raise DataError(
                f"{path}, line {line}: has {len(row)} cells, and the first line names {len(header)} columns: put names "
                "with commas in quotation marks"
            )
    return [dict(zip(header, row, strict=True)) for _, row in rows]


def _read_parquet(path: Path) -> list[dict[str, Any]]:
    parquet = import_extra("pyarrow.parquet")
    try:
        file = parquet.ParquetFile(path)
        names = [name for name in file.schema_arrow.names if name not in _GEOPARQUET_COLUMNS]
        rows: list[dict[str, Any]] = file.read(columns=names).to_pylist()
    except (OSError, ValueError) as error:  # pyarrow's own errors are ValueErrors
        raise DataError(f"{path}: is not a complete Parquet file ({error}): write it again") from error
    return rows
