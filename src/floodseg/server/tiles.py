"""Tiles of a layer in Web Mercator, as PNG."""

from functools import cache
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from rasterio.transform import Affine

from floodseg.server.errors import RequestError
from floodseg.server.layers import Layer
from floodseg.server.rasters import TILE_SIZE, RasterPool, read_tile

MAX_ZOOM = 24
_HALF_SIDE_M = 20_037_508.342789244
"""Half the side of the square of Web Mercator in metres."""


def tile_transform(zoom: int, column: int, row: int) -> Affine:
    """Return the transform of a tile from (column, row) of its pixels to metres of EPSG:3857.

    Raises:
        RequestError: there is no such tile.
    """
    if not (0 <= zoom <= MAX_ZOOM and 0 <= column < 2**zoom and 0 <= row < 2**zoom):
        raise RequestError(
            f"tile {zoom}/{column}/{row}: does not exist; zoom is from 0 to {MAX_ZOOM}, column and row from 0 to "
            "2^zoom - 1"
        )
    side = 2 * _HALF_SIDE_M / 2**zoom
    pixel = side / TILE_SIZE
    return Affine(pixel, 0, column * side - _HALF_SIDE_M, 0, -pixel, _HALF_SIDE_M - row * side)


def draw_tile(pool: RasterPool, layer: Layer, transform: Affine) -> bytes:
    """Return a tile of a layer as PNG, 256 x 256 RGBA; transparent where the layer has no valid pixel.

    Raises:
        DataError: a file of the layer cannot be read.
    """
    bands: dict[str, NDArray[np.float32]] = {}
    valid = np.ones((TILE_SIZE, TILE_SIZE), np.bool_)
    for file in layer.files:
        values, file_valid = read_tile(pool, file, layer.quantity, transform)
        bands.update(zip((band.name for band in file.bands), values, strict=True))
        valid &= file_valid
    if not valid.any():
        return _transparent()
    pixels = layer.palette.paint(np.stack([bands[name] for name in layer.bands]))
    pixels[~valid] = 0
    return _png(pixels)


@cache
def _transparent() -> bytes:
    return _png(np.zeros((TILE_SIZE, TILE_SIZE, 4), np.uint8))


def _png(pixels: NDArray[np.uint8]) -> bytes:
    stream = BytesIO()
    Image.fromarray(pixels, "RGBA").save(stream, "PNG", compress_level=1)
    return stream.getvalue()
