"""Scene in memory: numpy or labelled (xarray) arrays of both sensors on one grid."""

import threading
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from floodseg.bands import MASK, OTHER, Bands, SarUnits, Sensor, Unit, band_date
from floodseg.errors import DataError
from floodseg.geo.grid import IDENTITY, GeoGrid, Transform, Window
from floodseg.geo.warp import same_crs
from floodseg.geo.warped_source import clip
from floodseg.raster.bands import name_identities, numbers_by_name, text_labels
from floodseg.raster.edge_zeros import EdgeZeros
from floodseg.raster.physical import PixelMasks, Reading, needs_edge_zeros, physical
from floodseg.raster.radar_checks import check_radar
from floodseg.raster.reflectance_checks import check_physical_reflectance
from floodseg.raster.sample import Sample
from floodseg.raster.scaling import BandTags, Quantity
from floodseg.scene.cloud_mask import (
    MaskKind,
    MaskSource,
    array_mask,
    hidden,
    kind_note,
    mask_values,
    require_clear_pixels,
)
from floodseg.scene.findings import Findings
from floodseg.scene.image_bands import check_array_order
from floodseg.scene.labelled_array import ArrayImage, array_image, crs_text
from floodseg.scene.scene import SceneWindow
from floodseg.scene.unit_checks import sample_windows

_Numbers = NDArray[np.float32]
_Mask = NDArray[np.bool_]


class ArrayScene:
    """A scene of arrays in memory; implements :class:`floodseg.scene.scene.Scene`.

    Args:
        bands: channels that the model needs.
        sar: (C, H, W), VV and VH in dB, NaN where invalid; for a two-date model its channels in its order.
        optical: (C, H, W), reflectance from 0 to 1 (stored numbers divided by 10000, offset removed), NaN where
            invalid. A numpy array needs ``optical_bands``, unless it has the model's channels in its order.
        optical_bands: names of the bands of ``optical``.
        crs: coordinate system as EPSG code, WKT or object; by default that of a labelled array.
        transform: maps (column, row) to coordinates, the first six numbers of an affine transform; by default from the
            coordinates of a labelled array.
        sar_units: unit of ``sar``. Linear power, and amplitude (its square root), are converted to dB.
        cloud_mask: (H, W); optical pixels are invalid where it is not 0, or at the classes of clouds of a scene
            classification (SCL).

    A labelled array has dimensions named y and x (or lat and lon) in any order, and may be lazy. All arrays must have
    the same grid.

    Raises:
        DataError: invalid shapes, dimensions, names or values.
    """

    def __init__(
        self,
        bands: Bands,
        sar: Any = None,
        optical: Any = None,
        *,
        optical_bands: Sequence[str] | None = None,
        crs: Any = None,
        transform: Sequence[float] | None = None,
        sar_units: SarUnits = "db",
        cloud_mask: Any = None,
    ) -> None:
        self._bands, self._sar_units = bands, sar_units
        self._assumptions: list[str] = []
        self._images: dict[Sensor, ArrayImage] = {}
        self._channels: dict[Sensor, list[int]] = {}
        self._edges: dict[Sensor, EdgeZeros] = {}
        self._findings = Findings()
        self._lock = threading.Lock()
        if sar is not None:
            self._add("sar", sar, bands.sar, None)
        if optical is not None:
            self._add("optical", optical, bands.optical, optical_bands)
        if not self._images:
            raise DataError("no array was given; a scene needs sar, optical or both")
        self._clouds = None if cloud_mask is None else array_image("cloud_mask", cloud_mask, None)
        self._mask_kind: MaskKind | None = None
        self._product_grid = self._common_grid(crs, transform)
        self._grid = self._product_grid.upright
        self._place_arrays(replace_all=transform is not None)
        optical_image = self._images.get("optical")
        if optical_image is not None and self._unit("optical") == "reflectance":
            check_array_order(optical_image)
        for sensor in self._images:
            self._check_values(sensor)
        if self._clouds is not None and "optical" in self._images:
            self._check_clouds(self._clouds)

    @property
    def grid(self) -> GeoGrid:
        """Pixel grid of the windows. The transform is the identity by default."""
        return self._grid

    @property
    def product_grid(self) -> GeoGrid:
        """Pixel grid of the products, in the order of the first array."""
        return self._product_grid

    @property
    def bands(self) -> Bands:
        """Channels of every window."""
        return self._bands

    @property
    def inputs(self) -> dict[str, tuple[str, ...]]:
        """Empty, since a scene in memory has no files."""
        return {}

    @property
    def assumptions(self) -> tuple[str, ...]:
        """Assumptions made in reading, including those about the windows read so far."""
        return (*self._assumptions, *self._findings.notes())

    def read(self, window: Window) -> SceneWindow:
        """Read a window of the grid. Pixels outside the grid are invalid."""
        sar, sar_valid = self._read_sensor("sar", self._bands.sar, window)
        optical, optical_valid = self._read_sensor("optical", self._bands.optical, window)
        return SceneWindow(sar, optical, sar_valid, optical_valid)

    def close(self) -> None:
        """Do nothing, since no file is open."""

    def _add(self, sensor: Sensor, array: Any, needed: tuple[str, ...], names: Sequence[str] | None) -> None:
        if not needed:
            raise DataError(f"{sensor}: the model takes no {sensor} image: leave the array out")
        two_dates = any(band_date(name) for name in needed)
        # Band names hold no date, so the channels of two dates are taken by order.
        image = array_image(sensor, array, None if two_dates else sensor)
        if names is not None:
            identities = tuple(names) if two_dates else name_identities(tuple(names), sensor)
            image = replace(image, names=identities, labels=tuple(names))
        if len(image.names) != image.shape[0]:
            raise DataError(f"{sensor}: {image.shape[0]} bands have {len(image.names)} names; name each band once")
        if any(image.names):
            labels = text_labels(image.labels, image.names)
            numbers = numbers_by_name(sensor, image.names, labels, is_file=False)
            missing = [band for band in needed if band not in numbers]
            if missing:
                raise DataError(
                    f"{sensor}: lacks {', '.join(missing)}, which the model needs, and has {', '.join(labels)}; pass "
                    "an array with these bands, or correct the names"
                )
            self._channels[sensor] = [numbers[band] - 1 for band in needed]
        elif image.shape[0] == len(needed):
            self._channels[sensor] = list(range(len(needed)))
            self._assumptions.append(f"{sensor}: its bands have no names and are taken as {', '.join(needed)}")
        else:
            raise DataError(
                f"{sensor}: the array has {image.shape[0]} bands without names, but the model needs "
                f"{', '.join(needed)}; pass only these, or name the bands"
            )
        self._images[sensor] = image

    def _common_grid(self, crs: Any, transform: Sequence[float] | None) -> GeoGrid:
        """Return the grid of the first array as it is stored."""
        arrays = [*self._images.items(), *([("cloud_mask", self._clouds)] if self._clouds is not None else [])]
        first_name, first = arrays[0]
        for name, other in arrays[1:]:
            if other.shape[1:] != first.shape[1:]:
                raise DataError(
                    f"{first_name} has {first.shape[1]}x{first.shape[2]} pixels and {name} {other.shape[1]}x"
                    f"{other.shape[2]}, but arrays must lie on one grid; resample one to the other, or use files"
                )
            if first.transform is None or other.transform is None:
                continue
            # a transform that is set holds for the pixels as they are stored
            one, two = (each.grid if transform is not None else each.grid.upright for each in (first, other))
            if not (same_crs(one.crs, two.crs) and one.matches(two, 0.5)):
                raise DataError(
                    f"{first_name} and {name}: their coordinates differ, but arrays must lie on one grid; "
                    "resample one to the other, or use files"
                )
        known_crs = next((each.crs for _, each in arrays if each.crs is not None), None)
        known = next((each.transform for _, each in arrays if each.transform is not None), None)
        if transform is not None:
            a, b, c, d, e, f = (float(number) for number in tuple(transform)[:6])
            known = (a, b, c, d, e, f)
        text = known_crs if crs is None else crs_text("crs", crs)
        grid = GeoGrid(text, known or IDENTITY, first.shape[1], first.shape[2]).straight
        _check_grid(grid, known)
        return grid

    def _place_arrays(self, *, replace_all: bool) -> None:
        """Set the transform of all arrays, or of those without one, to that of the products."""

        def placed(image: ArrayImage) -> ArrayImage:
            if image.transform is not None and not replace_all:
                return image
            return replace(image, transform=self._product_grid.transform)

        self._images = {sensor: placed(image) for sensor, image in self._images.items()}
        self._clouds = None if self._clouds is None else placed(self._clouds)

    def _read_sensor(self, sensor: Sensor, names: Sequence[str], window: Window) -> tuple[_Numbers, _Mask]:
        values = np.zeros((len(names), window.height, window.width), np.float32)
        valid = np.zeros((window.height, window.width), np.bool_)
        inner, (top, left) = clip(window, self._grid)
        if inner is None or sensor not in self._images:
            return values, valid
        place = (slice(top, top + inner.height), slice(left, left + inner.width))
        part = values[:, *place]
        usable = np.ones((inner.height, inner.width), np.bool_)
        for channels in self._dates(names):
            reading = self._read_block(sensor, channels, inner, self._quantity(sensor))
            part[channels] = reading.values
            valid_at_date = ~(reading.missing | reading.fill)
            self._findings.add(sensor, reading)
            if self._unit(sensor) == "db":
                self._findings.add_image(sensor, list(reading.values), valid_at_date)
            usable &= valid_at_date
        if sensor == "optical" and self._clouds is not None and self._mask_kind is not None:
            usable &= ~hidden(self._mask_kind, *mask_values(self._clouds, inner))
        part[:, ~usable] = 0
        valid[place] = usable
        return values, valid

    def _dates(self, names: Sequence[str]) -> list[list[int]]:
        """Return the channels of each date."""
        dates = dict.fromkeys(band_date(name) for name in names)
        return [[channel for channel, name in enumerate(names) if band_date(name) == date] for date in dates]

    def _read_block(self, sensor: Sensor, channels: Sequence[int], window: Window, quantity: Quantity) -> Reading:
        """Read channels of one date by the rules of ``physical``."""
        image = self._images[sensor]
        used = [self._channels[sensor][channel] for channel in channels]
        bands_of_sensor = [at for at, name in enumerate(image.names) if name not in (None, MASK, OTHER)]
        others = [position for position in bands_of_sensor if position not in used]
        stored, masked = image.read(window)
        tags = BandTags(str(stored.dtype), image.scale, image.offset, image.nodata)
        bands = [tags.describe(str(position), position + 1, quantity) for position in used]
        masks = PixelMasks(
            valid=self._valid(image, stored, None if masked is None else masked[used]),
            edge_zeros=self._edge_zeros(sensor, used + others, window) if needs_edge_zeros(bands) else None,
            others=(lambda: stored[others]) if others else None,
        )
        return physical(stored[used], bands, quantity, masks)

    @staticmethod
    def _valid(
        image: ArrayImage, stored: NDArray[np.generic], masked: NDArray[np.bool_] | None
    ) -> NDArray[np.bool_] | None:
        """Return the pixels that neither a mask nor the array's band of validity hides, (H, W), or None if all are."""
        valid = None if masked is None else ~np.logical_or.reduce(masked)
        if MASK not in image.names:
            return valid
        band: _Mask = stored[image.names.index(MASK)] != 0
        return band if valid is None else valid & band

    def _edge_zeros(self, sensor: Sensor, positions: list[int], window: Window) -> _Mask:
        """Return the pixels that are 0 in bands and connected to the edge, inside a window, (H, W)."""
        image = self._images[sensor]
        _, height, width = image.shape
        with self._lock:
            if sensor not in self._edges:
                self._edges[sensor] = EdgeZeros(
                    lambda top, rows: image.read(Window(top, 0, rows, width))[0][positions], height, width
                )
            return self._edges[sensor].inside(window)

    def _sample(self, sensor: Sensor, names: Sequence[str], window: Window) -> Sample:
        reading = self._read_block(sensor, range(len(names)), window, self._quantity(sensor).as_stored)
        usable = ~(reading.missing | reading.fill)
        values = reading.values[:, usable]
        return Sample(
            sensor, tuple(names), values, values, values.shape[1], usable.size, reading.fillers, is_file=False
        )

    def _quantity(self, sensor: Sensor) -> Quantity:
        return Quantity(sensor, self._unit(sensor), self._sar_units)

    def _unit(self, sensor: Sensor) -> Unit:
        return self._bands.sar_unit if sensor == "sar" else self._bands.optical_unit

    def _check_clouds(self, clouds: ArrayImage) -> None:
        """Tell the kind of the cloud mask, and raise DataError if it has none or hides all optical pixels."""
        clouds, kind = array_mask(clouds)
        self._clouds = clouds
        note = kind_note("cloud_mask", kind)
        self._assumptions.extend([note] if note else [])

        def read(window: Window) -> tuple[_Mask, _Mask]:
            valid = self._read_sensor("optical", self._bands.optical, window)[1]
            return valid, hidden(kind, *mask_values(clouds, window))

        require_clear_pixels(MaskSource(), kind, self._grid, read)
        self._mask_kind = kind

    def _check_values(self, sensor: Sensor) -> None:
        if self._unit(sensor) == "dn":
            return
        names = self._bands.sar if sensor == "sar" else self._bands.optical
        sample = sample_windows(self._grid.height, self._grid.width, lambda window: self._sample(sensor, names, window))
        note = check_radar([sample], self._sar_units) if sensor == "sar" else check_physical_reflectance(sample)
        self._assumptions.extend([] if note is None else [f"{sensor}: {note}"])


def _check_grid(grid: GeoGrid, transform: Transform | None) -> None:
    """Raise DataError if products cannot have a grid; ``transform`` is that of the arrays, None if they have none."""
    a, b, _, d, e, _ = grid.transform
    if grid.crs is not None and grid.counts_pixels:
        raise DataError(
            f"crs {grid.crs}: has no effect without a transform that gives the pixels a place and a size; set "
            "`transform`, (10, 0, LEFT, 0, -10, TOP) for pixels of 10 m"
        )
    if transform is not None and (b != 0 or d != 0 or a == 0 or e == 0):
        raise DataError(
            f"transform {transform}: is rotated, sheared or without area; resample the arrays to a grid along the axes"
        )
    if not grid.has_distinct_pixels:
        raise DataError(f"transform {transform}: defines pixels without area or with equal coordinates; correct it")
