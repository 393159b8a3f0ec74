"""Tiles of a layer in Web Mercator, as PNG."""

from functools import cache
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from floodseg.server.errors import RequestError
from floodseg.server.layers import Layer
from floodseg.server.rasters import TILE_SIZE, RasterPool, TileAddress, read_tile

MAX_ZOOM = 24


def tile_address(zoom: int, column: int, row: int) -> TileAddress:
    """Return the place of a tile.

    Raises:
        RequestError: there is no such tile.
    """
    if not (0 <= zoom <= MAX_ZOOM and 0 <= column < 2**zoom and 0 <= row < 2**zoom):
        raise RequestError(
            f"tile {zoom}/{column}/{row}: does not exist; zoom is from 0 to {MAX_ZOOM}, column and row from 0 to "
            "2^zoom - 1"
        )
    return TileAddress(zoom, column, row)


def draw_tile(pool: RasterPool, layer: Layer, tile: TileAddress) -> bytes:
    """Return a tile of a layer as PNG, 256 x 256 RGBA; transparent where the layer has no valid pixel.

    Raises:
        RequestError: the layer is not shown at this zoom.
        DataError: a file of the layer cannot be read.
    """
    if tile.zoom < layer.min_zoom:
        raise RequestError(
            f"layer '{layer.name}': is shown from zoom {layer.min_zoom} on, since its file has no overviews; zoom in"
        )
    bands: dict[str, NDArray[np.float32]] = {}
    valid = np.ones((TILE_SIZE, TILE_SIZE), np.bool_)
    for file in layer.files:
        found = read_tile(pool, file, layer.quantity, tile)
        if found is None:
            return _transparent()
        bands.update(zip((band.name for band in file.bands), found[0], strict=True))
        valid &= found[1]
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
