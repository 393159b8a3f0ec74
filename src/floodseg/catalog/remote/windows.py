"""Windows of remote GeoTIFFs: the tiles that a window needs are read into local copies, several at a time."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import rasterio
from affine import Affine
from rasterio.errors import RasterioError

from floodseg.catalog.remote.client import Client, RemoteFile
from floodseg.catalog.remote.local_copy import LocalCopy
from floodseg.catalog.remote.tiff import NotATiffError, Range, TiffImage, merged, read_images
from floodseg.errors import DataError
from floodseg.geo.grid import GeoGrid, Window
from floodseg.raster.access import gdal_settings
from floodseg.raster.drivers import open_with_drivers
from floodseg.system.progress import TransferProgress

_GAP_BYTES = 64
"""Tiles with at most this many bytes between them are read by one request: GDAL writes 8 bytes between tiles."""
_MAX_NAME = 150
"""Longest name of a local copy without its suffix, in characters."""
_LONGEST_REQUEST = 4 * 2**20
"""Largest number of bytes of a request for several tiles."""


@dataclass(frozen=True, slots=True)
class RemoteImage:
    """Image of a remote GeoTIFF at one resolution, whose tiles are read into a local copy."""

    copy: LocalCopy
    grid: GeoGrid
    """Grid of the image."""
    gdal_name: str
    """Name under which GDAL opens the image in the local copy."""
    _tiff: TiffImage

    def ranges(self, window: Window) -> list[Range]:
        """Return the parts of the file that hold the tiles of a window within the image."""
        try:
            return merged(self._tiff.tile_ranges(window), _GAP_BYTES, _LONGEST_REQUEST)
        except NotATiffError as error:
            raise _not_a_cog(self.copy, error) from error

    def is_present(self, window: Window) -> bool:
        """Return True if all tiles of a window are in the local copy."""
        return not self.copy.missing(self.ranges(window))


def open_remote_image(folder: Path, remote: RemoteFile, client: Client, pixel: float | None = None) -> RemoteImage:
    """Read the directories of a remote GeoTIFF.

    Args:
        folder: folder of the local copy.
        remote: the file.
        client: sends the requests.
        pixel: pixel size of the target in units of the coordinate system. The coarsest overview with pixels of at most
            this size is opened; None opens the full resolution.

    Raises:
        DataError: the file cannot be read, is no GeoTIFF, or its directories are larger than 64 KiB.
    """
    copy = LocalCopy(folder / f"{_file_name(remote.name)}.tif", remote, client)
    try:
        images = read_images(copy.read_header)
        with rasterio.Env(**gdal_settings(allow_remote=False)), open_with_drivers(copy.path, ("GTiff",)) as source:
            crs = source.crs.to_string() if source.crs is not None else None
            full = GeoGrid(crs, tuple(source.transform)[:6], source.height, source.width)
    except (NotATiffError, RasterioError) as error:
        raise _not_a_cog(copy, error) from error
    if crs is None or (full.height, full.width) != (images[0].height, images[0].width):
        raise _not_a_cog(
            copy, "it has no coordinate system" if crs is None else "its directories contradict each other"
        )
    tiff = _overview(images, abs(full.transform[0]), pixel)
    rows, columns = full.height / tiff.height, full.width / tiff.width
    moved = full.affine @ Affine.scale(columns, rows)
    a, b, c, d, e, f = moved[:6]
    grid = replace(full, transform=(a, b, c, d, e, f), height=tiff.height, width=tiff.width)
    name = str(copy.path) if tiff is images[0] else f"GTIFF_DIR:{tiff.directory}:{copy.path}"
    return RemoteImage(copy, grid, name, tiff)


def read_windows(client: Client, windows: Sequence[tuple[RemoteImage, Window]], *, show_progress: bool = False) -> int:
    """Read the tiles of windows into the local copies, unless they are there; the first failure ends all transfers.

    Args:
        client: sends the requests.
        windows: images, and windows within them.
        show_progress: show a progress bar in bytes.

    Returns:
        Number of bytes read.

    Raises:
        DataError: a part cannot be read.
    """
    needed = [(image.copy, span) for image, window in windows for span in image.ranges(window)]
    missing = [(copy, span) for copy, span in needed if copy.missing([span])]
    total, left = (sum(stop - start for _, (start, stop) in parts) for parts in (needed, missing))
    with TransferProgress(total, total - left, enabled=show_progress) as progress:

        def fetch(copy: LocalCopy, span: Range) -> int:
            count = copy.fetch(span)
            progress.advance(count)
            return count

        return sum(client.run_all([partial(fetch, copy, span) for copy, span in missing]))


def _overview(images: Sequence[TiffImage], full_pixel: float, pixel: float | None) -> TiffImage:
    """Return the coarsest image with pixels of at most ``pixel``, or the full resolution."""
    full = images[0]
    fitting = [image for image in images if pixel is not None and full_pixel * full.width / image.width <= pixel * 1.01]
    return fitting[-1] if fitting else full


def _file_name(name: str) -> str:
    return re.sub(r"[^\w.-]+", "_", name)[-_MAX_NAME:]


def _not_a_cog(copy: LocalCopy, reason: object) -> DataError:
    return DataError(
        f"{copy.remote.name}: cannot be read by windows ({reason}); use a source with GeoTIFFs, or download the file "
        "and map it with floodseg predict"
    )
