"""Images of the items of a pass: the tiles to read from the server, and their pixels on a target grid."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import shapely
import shapely.geometry

from floodseg.bands import SAR_BANDS
from floodseg.catalog.items import SCENE_CLASSES, Scaling, SourceAsset, SourceItem
from floodseg.catalog.passes import Pass
from floodseg.catalog.remote.client import RemoteFile
from floodseg.catalog.remote.windows import RemoteImage, open_remote_image
from floodseg.catalog.scaling import settle_offset
from floodseg.errors import DataError
from floodseg.geo.grid import GeoGrid, Window
from floodseg.geo.resampling import Block
from floodseg.geo.warped_source import Method, WarpedSource
from floodseg.raster.scaling import Quantity, StoredBand
from floodseg.scene.image import ImageFile, read_block
from floodseg.scene.session import Session
from floodseg.workflows.fetching import Fetching
from floodseg.workflows.target_grid import enclosing_grid, source_window, with_pixel

SAR, CLASSES = "sar", "scl"
"""Names of the layers of radar bands and of the scene classification."""
_DARK_PERCENT = 2.0
"""Percentile of the stored values that stands for the darkest pixels."""


@dataclass(frozen=True, slots=True)
class Layer:
    """Bands of a pass that become one file."""

    name: str
    """Name of the file without its suffix: ``sar``, ``optical_10m``, ``optical_20m`` or ``scl``."""
    bands: tuple[str, ...]
    grid: GeoGrid

    @property
    def method(self) -> Method:
        """Resampling to the grid."""
        return "power" if self.name == SAR else "nearest" if self.name == CLASSES else "mean"

    def quantity(self, scaling: Scaling) -> Quantity | None:
        """Return what the numbers of a band mean; None for class codes."""
        if self.name == CLASSES:
            return None
        return Quantity("sar", "db", scaling.sar_units) if self.name == SAR else Quantity("optical", "reflectance")


class PassImages:
    """The images of a pass on the grids of its layers.

    The constructor opens the files over the network. :meth:`read` uses local copies of the tiles, which must have been
    read with :func:`floodseg.catalog.remote.windows.read_windows` for all of :meth:`windows`.

    Args:
        run: settings, area and connections.
        overpass: the pass.
        folder: folder of the partial copies of its files.
        grid: grid of a radar image; None takes that of the item that covers most of the area.

    Attributes:
        items: items that overlap the area, the one that covers most of it first.
        layers: files to make.
        notes: sentences on offsets that :meth:`settle_offsets` has compared with the darkest pixels.

    Raises:
        DataError: a file cannot be read.
    """

    def __init__(self, run: Fetching, overpass: Pass, folder: Path, grid: GeoGrid | None = None) -> None:
        self._run, self._grid = run, grid
        self._session = Session(allow_remote=False)
        self.items = _by_overlap(overpass.items, run.area.geometry)
        has_classes = all(SCENE_CLASSES in item.assets for item in self.items)
        bands = (*run.settings.reading.optical_bands, *([SCENE_CLASSES] if has_classes else []))
        assets = [(item, asset) for item in self.items for asset in _needed(item, bands)]
        opened = run.client.run_all([partial(_open, run, folder, *pair) for pair in assets])
        self._images: dict[tuple[str, str], RemoteImage] = {
            (item.id, asset.band): image for (item, asset), image in zip(assets, opened, strict=True)
        }
        self._sources: dict[tuple[str, str, str], WarpedSource] = {}
        self.layers = self._plan_layers()
        self.notes: list[str] = []

    def close(self) -> None:
        """Close all files."""
        self._session.close()

    def windows(self) -> list[tuple[RemoteImage, Window]]:
        """Return the images and windows that the layers need."""
        wanted = []
        for layer in self.layers:
            for item in self.items:
                for band in layer.bands:
                    image = self._images[item.id, band]
                    window = source_window(layer.grid, image.grid.north_up)
                    if window is not None:
                        wanted.append((image, image.grid.flip_window(window)))
        return wanted

    def settle_offsets(self) -> None:
        """Correct the offsets of items with doubtful metadata by their darkest pixels."""
        settled = []
        for item in self.items:
            doubtful = {band for band, asset in item.assets.items() if asset.other_scaling is not None}
            darkest = {
                band: value
                for layer in self.layers
                for band in layer.bands
                if band in doubtful and (value := self._darkest(item, layer, band)) is not None
            }
            changed, note = settle_offset(item, darkest)
            settled.append(changed)
            if note is not None:
                self.notes.append(note)
        self.items = settled
        self._sources.clear()

    def read(self, layer: Layer, item: SourceItem, window: Window) -> Block:
        """Read the bands of an item inside a window of the grid of a layer: dB, reflectance or class codes.

        A pixel is missing where any band is missing, and filled where all bands are filled.
        """
        blocks = [self._source(layer, item, band).read(window) for band in layer.bands]
        return Block(
            np.concatenate([block.values for block in blocks]),
            np.logical_or.reduce([block.missing for block in blocks]),
            np.logical_and.reduce([block.fill for block in blocks]),
        )

    def resampling(self, layer: Layer) -> list[str]:
        """Return the items that are resampled to the grid of a layer, one sentence each."""
        notes = []
        for item in self.items:
            source = self._source(layer, item, layer.bands[0])
            if source.resampling is not None:
                notes.append(f"{item.id}: {layer.name} is resampled to the grid of the mosaic ({source.resampling})")
        return notes

    def _source(self, layer: Layer, item: SourceItem, band: str) -> WarpedSource:
        key = (layer.name, item.id, band)
        if key not in self._sources:
            self._sources[key] = self._new_source(layer, item, band)
        return self._sources[key]

    def _new_source(self, layer: Layer, item: SourceItem, band: str) -> WarpedSource:
        image, scaling = self._images[item.id, band], item.assets[band].scaling
        stored = StoredBand(band, 1, scaling.scale, scaling.offset, nodata=scaling.nodata)
        file = ImageFile(image.gdal_name, image.grid, (stored,))

        def read_source(window: Window) -> Block:
            assert image.is_present(image.grid.flip_window(window)), "the tiles of this window were not read"
            return read_block(self._session, file, window, layer.quantity(scaling))

        return WarpedSource(image.grid.north_up, layer.grid, 1, read_source, layer.method)

    def _darkest(self, item: SourceItem, layer: Layer, band: str) -> float | None:
        """Return the 2nd percentile of the valid stored values of a band in the area; None without valid pixels."""
        image = self._images[item.id, band]
        window = source_window(layer.grid, image.grid.north_up)
        if window is None:
            return None
        stored = self._session.read(image.gdal_name, [1], image.grid.flip_window(window))
        valid = stored[(stored != item.assets[band].scaling.nodata) & (stored != 0)]
        return float(np.percentile(valid, _DARK_PERCENT)) if valid.size else None

    def _plan_layers(self) -> list[Layer]:
        """Return the layers: bands of equal pixel size, on the grids of the item that covers most of the area."""
        first, settings = self.items[0], self._run.settings
        grids = {band: image.grid.north_up for (item, band), image in self._images.items() if item == first.id}
        sizes = {band: max(abs(grid.transform[0]), settings.reading.resolution or 0.0) for band, grid in grids.items()}
        coarsest = max(grids.values(), key=lambda grid: abs(grid.transform[0]))
        margin = math.ceil(settings.context * min(sizes.values()) / abs(coarsest.transform[0]))
        extent = self._grid or enclosing_grid(self._run.area.geometry, coarsest, margin)
        if first.sensor == "sar":
            return [Layer(SAR, SAR_BANDS, self._grid or with_pixel(extent, max(sizes.values())))]
        optical = [band for band in grids if band != SCENE_CLASSES]
        layers = [
            Layer(
                f"optical_{size:g}m", tuple(band for band in optical if sizes[band] == size), with_pixel(extent, size)
            )
            for size in sorted({sizes[band] for band in optical})
        ]
        if SCENE_CLASSES in grids:
            layers.append(Layer(CLASSES, (SCENE_CLASSES,), with_pixel(extent, sizes[SCENE_CLASSES])))
        return layers


def _by_overlap(items: Sequence[SourceItem], area: Any) -> list[SourceItem]:
    """Return the items that overlap an area, the one with the largest part first."""
    shares = [shapely.intersection(shapely.geometry.shape(item.geometry), area).area for item in items]
    order = sorted(range(len(items)), key=lambda number: -shares[number])
    return [items[number] for number in order if shares[number] > 0] or [items[order[0]]]


def _needed(item: SourceItem, optical_bands: Sequence[str]) -> list[SourceAsset]:
    """Return the bands of an item to read.

    Raises:
        DataError: the item lacks a band.
    """
    bands = SAR_BANDS if item.sensor == "sar" else optical_bands
    missing = [band for band in bands if band not in item.assets]
    if missing:
        raise DataError(
            f"item {item.id}: has no band {missing[0]}; "
            + ("use another pass" if item.sensor == "sar" else "set other `optical_bands`, or use another source")
        )
    return [item.assets[band] for band in bands]


def _open(run: Fetching, folder: Path, item: SourceItem, asset: SourceAsset) -> RemoteImage:
    remote = RemoteFile(asset.href, f"item {item.id}, asset {asset.key}", run.signer)
    # named after the address, since files of two sources can have the same name
    copies = folder / sha256(asset.href.encode()).hexdigest()[:12]
    copies.mkdir(parents=True, exist_ok=True)
    return open_remote_image(copies, remote, run.client, run.settings.reading.resolution)
