"""Measures of a map and of the script that made it: seams, files, lines."""

import ast
import sqlite3
import tokenize
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.transform import Affine
from rasterio.windows import Window

SHIFT = 160
"""Rows and columns that are cut off at the top and left of a scene. A multiple of 32, the coarsest stride of the
networks, so that a network computes the same on the cut scene except at its borders."""
MARGIN = 256
"""Distance from the border of the cut scene, in pixels, from which maps are compared. Nearer to it, maps differ because
the network sees less of the scene."""
NODATA = 255

_NO_CODE = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENCODING,
            tokenize.ENDMARKER}  # fmt: skip


def cut_scene(scene: Path, target: Path) -> None:
    """Write a scene without its first ``SHIFT`` rows and columns."""
    with rasterio.open(scene) as source:
        window = Window(SHIFT, SHIFT, source.width - SHIFT, source.height - SHIFT)
        transform = source.transform @ Affine.translation(SHIFT, SHIFT)
        profile = source.profile | {"height": window.height, "width": window.width, "transform": transform}
        with rasterio.open(target, "w", **profile) as file:
            file.write(source.read(window=window))
            file.descriptions = source.descriptions


def seam_share(classes: NDArray[np.uint8], classes_of_cut: NDArray[np.uint8]) -> float:
    """Return the share of the pixels that change class when the windows lie elsewhere.

    Args:
        classes: (H, W) map of a scene; 255 is nodata.
        classes_of_cut: (H - SHIFT, W - SHIFT) map of the scene without its first rows and columns.

    Returns:
        0 if the class of a pixel does not depend on the window in which it lies. Pixels near the border of the cut
        scene, and those that are nodata in one of the maps, do not count.
    """
    inside = (slice(MARGIN, -MARGIN), slice(MARGIN, -MARGIN))
    first, second = classes[SHIFT:, SHIFT:][inside], classes_of_cut[inside]
    valid = (first != NODATA) & (second != NODATA)
    return float((first != second)[valid].mean())


def read_classes(path: Path) -> NDArray[np.uint8]:
    """Return the first band of a map, (H, W) uint8."""
    with rasterio.open(path) as file:
        classes: NDArray[np.uint8] = file.read(1)
    return classes


def mapped_nodata_share(scene: Path, classes: NDArray[np.uint8]) -> float | None:
    """Return the share of the scene's nodata pixels that have a class in the map; None without nodata."""
    with rasterio.open(scene) as file:
        nodata = np.isnan(file.read()).any(axis=0)
    return float((classes[nodata] != NODATA).mean()) if nodata.any() else None


def describe_files(folder: Path) -> list[dict[str, Any]]:
    """Return what QGIS finds in a folder: rasters and layers of polygons, with their properties.

    Returns:
        Objects with ``name``, ``kind`` (raster or polygons) and ``styled``: it has colours, by a style beside a raster,
        a colour table or a style inside a GeoPackage. Rasters also have ``named`` (classes or values have names),
        ``nodata`` (the file says which value is nodata) and ``overviews``.
    """
    rasters = [_describe_raster(path) for path in sorted(folder.glob("*.tif"))]
    return rasters + [layer for path in sorted(folder.glob("*.gpkg")) for layer in _describe_layers(path)]


def _describe_raster(path: Path) -> dict[str, Any]:
    style, names = path.with_suffix(".qml"), path.with_name(f"{path.name}.aux.xml")
    with rasterio.open(path) as file:
        palette = file.colorinterp[0] == rasterio.enums.ColorInterp.palette
        nodata, overviews = file.nodata is not None, bool(file.overviews(1))
    named = style.is_file() or (names.is_file() and "<CategoryNames>" in names.read_text(encoding="utf-8"))
    return {
        "name": path.name, "kind": "raster", "styled": style.is_file() or palette, "named": named, "nodata": nodata,
        "overviews": overviews,
    }  # fmt: skip


def _describe_layers(path: Path) -> list[dict[str, Any]]:
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        layers = [name for (name,) in connection.execute("SELECT table_name FROM gpkg_geometry_columns")]
        has_styles = connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'layer_styles'").fetchone()
        styled = connection.execute("SELECT f_table_name FROM layer_styles").fetchall() if has_styles else []
    finally:
        connection.close()
    return [
        {"name": f"{path.name}: {layer}", "kind": "polygons", "styled": (layer,) in styled} for layer in sorted(layers)
    ]


def code_lines(script: Path) -> int:
    """Return the lines of a Python script without blank lines, comments and docstrings."""
    text = script.read_text(encoding="utf-8")
    with script.open("rb") as file:
        tokens = [token for token in tokenize.tokenize(file.readline) if token.type not in _NO_CODE]
    lines = {line for token in tokens for line in range(token.start[0], token.end[0] + 1)}
    for statement in ast.walk(ast.parse(text)):
        if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
            lines -= set(range(statement.lineno, (statement.end_lineno or statement.lineno) + 1))
    return len(lines)
