"""File of a layer: a georeferenced raster of one band, read in windows of its grid."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from pyproj.exceptions import ProjError

from floodseg.errors import DataError
from floodseg.geo.grid import GeoGrid, Window
from floodseg.geo.resampling import Block
from floodseg.geo.warp import PixelMap
from floodseg.raster.masks import mask_number
from floodseg.raster.scaling import equals_stored
from floodseg.scene.placement import ASSIGN_CORNERS, missing_crs_remedy
from floodseg.scene.session import Session

MAX_REDUCTION = 32
"""Maximum number of pixels of a layer per pixel of the scene along each side. A window reads the square of this
number."""

_LARGEST = 3e38
"""Larger numbers are no data: writers round the lowest or highest float, so no declared nodata value equals them."""


class LayerFile:
    """A one-band raster on its own grid. Reading is safe from several threads.

    Attributes:
        name: setting and file, for messages.
        grid: grid of the file.
        unit: unit of the band, "" if none is stored.
        reduction: number of file (rows, columns) per pixel of the scene, 1 or more.
        found_voids: True if pixels that were read hold one of the ``voids``.
    """

    def __init__(
        self, path: str, setting: str, scene: GeoGrid, *, allow_remote: bool = False, voids: Sequence[float] = ()
    ) -> None:
        """Open ``path`` and check that it can be placed on the scene.

        Args:
            path: GDAL path of a raster with a coordinate system.
            setting: setting that names the file, for messages.
            scene: grid of the scene, with a coordinate system.
            allow_remote: if True, ``path`` may be remote.
            voids: stored numbers that are no data although the file does not declare them.

        Raises:
            ConfigError: a remote file without ``allow_remote``.
            DataError: the file cannot be read, is complex, has several bands or no georeference, or its pixels are much
                finer than the scene's.
        """
        self.name, self._path, self._voids, self._allow_remote = f"`{setting}={path}`", path, voids, allow_remote
        self._setting, self._session = setting, Session(allow_remote=allow_remote, setting=setting)
        self._session.check_access(path, setting)
        self.found_voids = False
        try:
            source: Any = self._session.open(path)
            self._check(source)
            self.grid = GeoGrid(source.crs.to_string(), tuple(source.transform)[:6], source.height, source.width)
            self.unit = (source.units[0] or "").strip()
            self._nodata, self._mask = source.nodata, mask_number(source)
            self._scale, self._offset = source.scales[0], source.offsets[0]
        finally:
            self.close()
        try:
            self.reduction = PixelMap(scene, self.grid).reduction
        except (DataError, ProjError) as error:
            raise DataError(f"{self.name}: cannot be placed on the scene: {error}") from error
        if max(self.reduction) > MAX_REDUCTION:
            raise DataError(
                f"{self.name}: its pixels are {max(self.reduction)} times finer than the scene's, but at most "
                f"{MAX_REDUCTION} times is allowed; resample it to the scene's resolution first"
            )

    def _check(self, source: Any) -> None:
        if source.count != 1:
            raise DataError(
                f"{self.name}: has {source.count} bands but must have 1; extract one band (rio stack FILE --bidx 1 "
                "OUT.tif)"
            )
        grid = GeoGrid(None, tuple(source.transform)[:6], source.height, source.width)
        if source.crs is None:
            raise DataError(
                f"{self.name}: has no coordinate system, so it cannot be placed on the scene; assign it "
                f"({missing_crs_remedy(grid)})"
            )
        if grid.has_pixel_coordinates:
            raise DataError(
                f"{self.name}: has no geotransform, or one that gives pixel numbers instead of coordinates, so it "
                "cannot be placed on the scene; assign the x and y of its upper left and lower right corner "
                f"({ASSIGN_CORNERS})"
            )
        if not grid.has_distinct_pixels:
            raise DataError(
                f"{self.name}: its geotransform defines pixels without area or with equal coordinates; correct the file"
            )
        if np.issubdtype(np.dtype(source.dtypes[0]), np.complexfloating):
            raise DataError(f"{self.name}: holds complex numbers, but a layer must hold real ones; convert it")

    def read(self, window: Window) -> Block:
        """Read a window that lies within the file, with the scale and offset tags of GDAL applied.

        Raises:
            DataError: the file cannot be read.
        """
        stored = self._session.read(self._path, [1], window)[0]
        missing = np.zeros(stored.shape, np.bool_) if self._nodata is None else equals_stored(stored, self._nodata)
        if self._mask is not None:
            missing |= ~self._session.read_mask(self._path, self._mask, window)
        if self._voids and (void := np.isin(stored, self._voids) & ~missing).any():
            self.found_voids = True
            missing |= void
        with np.errstate(over="ignore", invalid="ignore"):
            values = stored.astype(np.float32)
            if (self._scale, self._offset) != (1.0, 0.0):
                values = values * np.float32(self._scale) + np.float32(self._offset)
            if stored.dtype.kind == "f":
                missing |= ~(np.abs(values) < _LARGEST)
        values[missing] = 0
        return Block(values[None], missing, np.zeros_like(missing))

    def calculation(self, expression: str) -> str:
        """Return a command that writes an expression of the band, such as ``(* 2 (read 1))``, to a new file."""
        masked = " --not-masked" if self._nodata is None else ""  # rio calc stops at masked pixels without nodata
        return f'rio calc "{expression}"{masked} --dtype float32 FILE OUT.tif'

    def close(self) -> None:
        """Close the file. No thread may be reading. The next read opens the file again."""
        self._session.close()
        self._session = Session(allow_remote=self._allow_remote, setting=self._setting)
