"""Scene in memory: numpy or labelled (xarray) arrays of both sensors on one grid."""

import threading
from collections.abc import Sequence
from copy import copy
from dataclasses import replace
from typing import Any

import numpy as np

from floodseg.bands import (
    MASK,
    OTHER,
    Bands,
    SarUnits,
    Sensor,
    band_date,
    names_scene_classes,
    product_level,
    source_bands,
    stand_in_note,
)
from floodseg.errors import DataError
from floodseg.geo.grid import Window
from floodseg.geo.tiling import blocks
from floodseg.messages import SENSOR_NAMES
from floodseg.raster.band_names import name_identities
from floodseg.raster.bands import numbers_by_name, text_labels
from floodseg.raster.edge_zeros import EdgeZeros
from floodseg.raster.physical import PhysicalBlock, PixelMasks, needs_edge_zeros, physical
from floodseg.raster.radar_checks import check_radar
from floodseg.raster.reflectance_checks import check_physical_reflectance
from floodseg.raster.sample import Sample
from floodseg.raster.scaling import BandTags, Quantity
from floodseg.scene.array_grid import common_grid
from floodseg.scene.base import BaseScene, Mask, OpticalSource, Values
from floodseg.scene.cloud_mask import are_scene_classes, hidden_pixels, kind_note
from floodseg.scene.image_bands import check_array_order, landsat_names, ndwi_remark
from floodseg.scene.labelled_array import ArrayImage, array_image
from floodseg.scene.unit_checks import sample_windows


class ArrayScene(BaseScene):
    """A scene of arrays in memory; implements :class:`floodseg.scene.scene.Scene`.

    Args:
        bands: channels that the model needs.
        sar: (C, H, W), VV and VH in dB, NaN where invalid. A two-date model needs all its channels, in the order of
            the model.
        optical: (C, H, W), reflectance from 0 to 1 (stored numbers divided by 10000, offset removed), NaN where
            invalid. A numpy array needs ``optical_bands``, unless it has all channels of the model, in the order of the
            model.
        optical_bands: names of the bands of ``optical``.
        crs: coordinate system as EPSG code, WKT or object; by default that of a labelled array.
        transform: maps (column, row) to coordinates, the first six numbers of an affine transform; by default from the
            coordinates of a labelled array.
        sar_units: unit of ``sar``. Linear power, and amplitude (its square root), are converted to dB.

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
    ) -> None:
        super().__init__(bands)
        self._sar_units = sar_units
        self._images: dict[str, ArrayImage] = {}
        """Images by sensor."""
        self._channels: dict[Sensor, list[int]] = {}
        self._edges: dict[Sensor, EdgeZeros] = {}
        self._lock = threading.Lock()
        if sar is not None:
            self._add("sar", sar, bands.sar, None)
        if optical is not None:
            self._add("optical", optical, bands.optical, optical_bands)
        if not self._images:
            raise DataError("no image to map; pass `sar`, `optical` or both")
        self._set_grids(common_grid(self._images, crs, transform))
        for name, image in self._images.items():
            if image.transform is None or transform is not None:
                self._images[name] = replace(image, transform=self.product_grid.transform)
        if "optical" in self._channels and bands.optical_unit == "reflectance":
            check_array_order(self._images["optical"])
        for sensor in self._channels:
            self._check_values(sensor)

    def close(self) -> None:
        """Do nothing, since no file is open."""

    @property
    def sensors(self) -> list[Sensor]:
        """Sensors of the arrays."""
        return list(self._channels)

    @property
    def optical_source(self) -> OpticalSource | None:
        """The optical image, None without one."""
        image = self._images.get("optical")
        if image is None:
            return None
        held = tuple(name for name in image.names if name is not None and name not in (MASK, OTHER))
        if not held:
            held = tuple(self.bands.optical)  # taken by order
        level = product_level(held, [*filter(None, image.labels)])
        return OpticalSource("`optical`", held, level, self._open_bands, "set hidden pixels of `optical` to NaN")

    def hide_scene_classes(self) -> None:
        """Hide the clouds that a band SCL (Sentinel-2 scene classification) of the optical array marks, if it has one.

        A band of this name that holds other values is not used, which an assumption says.
        """
        image = self._images.get("optical")
        labels = () if image is None else image.labels
        number = next((number for number, label in enumerate(labels) if names_scene_classes(label)), None)
        if image is None or number is None or self.bands.optical_unit != "reflectance":
            return
        nodata = None if image.nodata == 0 else image.nodata  # 0 is the class of no data
        classes = replace(image, pixels=image.pixels[number : number + 1], names=(OTHER,), labels=(), nodata=nodata)

        def clouds(window: Window) -> Mask:
            return hidden_pixels("classes", *_band_values(classes, window))

        parts = (_band_values(classes, window) for window in blocks(*classes.shape[1:]))
        if all(are_scene_classes(values[~missing], nodata) for values, missing in parts):
            self.hide(clouds, "its scene classification", kind_note("`optical`", "classes") or "")
        else:
            self.add_note("`optical`: its band SCL is not used, since it holds no classes 0 to 11")

    def _open_bands(self, bands: tuple[str, ...]) -> "ArrayScene":
        """Return a scene of other bands of the optical array."""
        scene = copy(self)
        BaseScene.__init__(scene, Bands((), bands))
        image = self._images["optical"]
        names = image.names if any(image.names) else self.bands.optical
        scene._images = {"optical": image}
        scene._channels = {"optical": [names.index(band) for band in bands]}
        return scene

    def _add(self, sensor: Sensor, array: Any, needed: tuple[str, ...], names: Sequence[str] | None) -> None:
        if not needed:
            raise DataError(f"`{sensor}`: the model takes no {SENSOR_NAMES[sensor]} image; leave the array out")
        two_dates = any(band_date(name) for name in needed)
        # Band names hold no date, so the channels of two dates are taken by order.
        image = array_image(sensor, array, None if two_dates else sensor)
        if names is not None:
            identities = tuple(names) if two_dates else name_identities(tuple(names), sensor)
            image = replace(image, names=identities, labels=tuple(names))
        if len(image.names) != image.shape[0]:
            raise DataError(
                f"`{sensor}`: the array has {image.shape[0]} bands, but {len(image.names)} names; name each band once"
            )
        if any(image.names):
            labels = text_labels(image.labels, image.names)
            numbers = numbers_by_name(f"`{sensor}`", image.names, labels, is_file=False)
            sources = {band: band for band in needed} if two_dates else source_bands(needed, numbers)
            missing = [band for band in needed if sources.get(band) not in numbers]
            if missing:
                changed = [f"{band} to {name}" for band, name in landsat_names(needed, numbers).items() if name != band]
                landsat = f"if it is of HLS L30 (Landsat 8 and 9), rename {', '.join(changed)}; else "
                raise DataError(
                    f"`{sensor}`: lacks {', '.join(missing)}, which the model needs, and has {', '.join(labels)}; "
                    f"{landsat if changed else ''}pass an array with these bands, or correct the names, or use a model "
                    f"that needs only the bands it has{ndwi_remark(numbers)}"
                )
            self._channels[sensor] = [numbers[sources[band]] - 1 for band in needed]
            note = stand_in_note(sources)
            self.add_note(note and f"`{sensor}`: {note}")
        elif image.shape[0] == len(needed):
            self._channels[sensor] = list(range(len(needed)))
            self._assumptions.append(f"`{sensor}`: its bands have no names and are taken as {', '.join(needed)}")
        else:
            raise DataError(
                f"`{sensor}`: the array has {image.shape[0]} bands without names, but the model needs "
                f"{', '.join(needed)}; pass only these, or name the bands"
            )
        self._images[sensor] = image

    def _read_inside(self, sensor: Sensor, window: Window, values: Values) -> Mask | None:
        if sensor not in self._images:
            return None
        usable = np.ones((window.height, window.width), np.bool_)
        for channels in self._dates(self.bands.names(sensor)):
            reading = self._read_block(sensor, channels, window, self._quantity(sensor))
            values[channels] = reading.values
            valid_at_date = ~(reading.missing | reading.fill)
            self._pixel_counts.add(f"`{sensor}`", reading)
            if self.bands.unit(sensor) == "db":
                self._pixel_counts.add_image(f"`{sensor}`", list(reading.values), valid_at_date)
            usable &= valid_at_date
        return usable

    def _dates(self, names: Sequence[str]) -> list[list[int]]:
        """Return the channels of each date."""
        dates = dict.fromkeys(band_date(name) for name in names)
        return [[channel for channel, name in enumerate(names) if band_date(name) == date] for date in dates]

    def _read_block(self, sensor: Sensor, channels: Sequence[int], window: Window, quantity: Quantity) -> PhysicalBlock:
        """Read channels of one date by the rules of ``physical``."""
        image = self._images[sensor]
        used = [self._channels[sensor][channel] for channel in channels]
        bands_of_sensor = [at for at, name in enumerate(image.names) if name not in (None, MASK, OTHER)]
        others = [position for position in bands_of_sensor if position not in used]
        stored, masked = image.read(window)
        valid: Mask | None = None if masked is None else ~np.logical_or.reduce(masked[used])
        if MASK in image.names:
            has_data: Mask = stored[image.names.index(MASK)] != 0
            valid = has_data if valid is None else valid & has_data
        tags = BandTags(str(stored.dtype), image.scale, image.offset, image.nodata)
        bands = [tags.describe(str(position), position + 1, quantity) for position in used]
        masks = PixelMasks(
            valid=valid,
            edge_zeros=self._edge_zeros(sensor, used + others, window) if needs_edge_zeros(bands) else None,
            read_other_bands=(lambda: stored[others]) if others else None,
        )
        return physical(stored[used], bands, quantity, masks)

    def _edge_zeros(self, sensor: Sensor, positions: list[int], window: Window) -> Mask:
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
            f"`{sensor}`", tuple(names), values, values, values.shape[1], usable.size, reading.fillers, is_file=False
        )

    def _quantity(self, sensor: Sensor) -> Quantity:
        return Quantity(sensor, self.bands.unit(sensor), self._sar_units)

    def _check_values(self, sensor: Sensor) -> None:
        if self.bands.unit(sensor) == "dn":
            return
        names = self.bands.names(sensor)
        sample = sample_windows(self.grid.height, self.grid.width, lambda window: self._sample(sensor, names, window))
        note = check_radar([sample], self._sar_units) if sensor == "sar" else check_physical_reflectance(sample)
        self.add_note(note and f"`{sensor}`: {note}")


def _band_values(band: ArrayImage, window: Window) -> tuple[Values, Mask]:
    """Return the values of an image of one band inside a window and the pixels without a value, (H, W) each."""
    stored, masked = band.read(window)
    values = stored[0].astype(np.float32)
    missing: Mask = np.isnan(values) | (values == band.nodata if band.nodata is not None else False)
    return values, missing if masked is None else missing | masked[0]
