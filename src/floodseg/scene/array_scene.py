"""Scene in memory: numpy or labelled (xarray) arrays of both sensors on one grid."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from floodseg.bands import Bands, Sensor, Unit, band_date
from floodseg.errors import DataError
from floodseg.geo.grid import GeoGrid, Window
from floodseg.geo.warp import same_crs
from floodseg.raster.read import DB_RANGE, REFLECTANCE_RANGE
from floodseg.scene.image import clip
from floodseg.scene.labelled_array import ArrayImage, crs_text, cube
from floodseg.scene.scene import SceneWindow
from floodseg.scene.unit_checks import check_physical_reflectance, check_radar, sample_windows

_Numbers = NDArray[np.float32]
_Mask = NDArray[np.bool_]


class ArrayScene:
    """A scene whose imagery is in memory; satisfies :class:`floodseg.scene.scene.Scene`.

    Args:
        bands: the channels that the model takes.
        sar: (C, H, W), VV and VH in dB, NaN where invalid; for a model of two dates its channels, in its order.
        optical: (C, H, W), reflectance from 0 to 1 (stored numbers divided by 10000, offset removed), NaN where
            invalid. A numpy array needs ``optical_bands`` unless it has the model's channels, in its order.
        optical_bands: names of the bands of ``optical``.
        crs: coordinate system, as EPSG code, WKT or object; by default that of a labelled array.
        transform: from (column, row) to coordinates, an affine's first six numbers; by default from the coordinates of
            a labelled array.
        sar_units: unit of ``sar``; linear power is converted to dB.
        cloud_mask: (H, W); what is not 0 hides the ground from the optical sensor.

    A labelled array has dimensions named y and x (or lat and lon), in any order, and may be lazy. Both sensors must lie
    on one grid.

    Raises:
        DataError: shapes, dimensions, names or values that break these rules.
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
        sar_units: Literal["db", "linear"] = "db",
        cloud_mask: Any = None,
    ) -> None:
        self._bands, self._linear = bands, sar_units == "linear"
        self._assumptions: list[str] = []
        self._cubes: dict[Sensor, ArrayImage] = {}
        self._channels: dict[Sensor, list[int]] = {}
        if sar is not None:
            self._add("sar", sar, bands.sar, None)
        if optical is not None:
            self._add("optical", optical, bands.optical, optical_bands)
        if not self._cubes:
            raise DataError("no array was given; a scene needs sar, optical or both")
        self._clouds = None if cloud_mask is None else cube("cloud_mask", cloud_mask, None)
        self._grid = self._common_grid(crs, transform)
        for sensor in self._cubes:
            self._check_values(sensor)

    @property
    def grid(self) -> GeoGrid:
        """The pixel grid; without a coordinate system its transform is the identity unless one was given."""
        return self._grid

    @property
    def bands(self) -> Bands:
        """The channels of every window."""
        return self._bands

    @property
    def inputs(self) -> dict[str, tuple[str, ...]]:
        """Nothing: there are no files."""
        return {}

    @property
    def assumptions(self) -> tuple[str, ...]:
        """What was taken for granted."""
        return tuple(self._assumptions)

    def read(self, window: Window) -> SceneWindow:
        """Return the imagery inside a window of the grid; beyond the grid all is invalid."""
        sar, sar_valid = self._sensor("sar", self._bands.sar, window)
        optical, optical_valid = self._sensor("optical", self._bands.optical, window)
        return SceneWindow(sar, optical, sar_valid, optical_valid)

    def close(self) -> None:
        """Do nothing: arrays belong to who gave them."""

    def _add(self, sensor: Sensor, array: Any, needed: tuple[str, ...], names: Sequence[str] | None) -> None:
        if not needed:
            raise DataError(f"{sensor}: the model takes no {sensor} image: leave the array out")
        two_dates = any(band_date(name) for name in needed)
        # The names of bands say nothing of dates, so channels of two dates go by their order.
        given = cube(sensor, array, None if two_dates else sensor)
        if names is not None:
            given = replace(given, names=tuple(names))
        if len(given.names) != given.shape[0]:
            raise DataError(f"{sensor}: {given.shape[0]} bands have {len(given.names)} names; give one for each")
        if any(given.names):
            missing = [band for band in needed if band not in given.names]
            if missing:
                known = ", ".join(name or "?" for name in given.names)
                raise DataError(f"{sensor}: lacks {', '.join(missing)}, which the model needs; it has {known}")
            self._channels[sensor] = [given.names.index(band) for band in needed]
        elif given.shape[0] == len(needed):
            self._channels[sensor] = list(range(len(needed)))
            self._assumptions.append(f"{sensor}: its bands have no names and are taken as {', '.join(needed)}")
        else:
            raise DataError(
                f"{sensor}: the array has {given.shape[0]} bands without names, and the model takes "
                f"{', '.join(needed)}: give these, or name the bands"
            )
        self._cubes[sensor] = given

    def _common_grid(self, crs: Any, transform: Sequence[float] | None) -> GeoGrid:
        given = [*self._cubes.items(), *([("cloud_mask", self._clouds)] if self._clouds is not None else [])]
        first_name, first = given[0]
        for name, other in given[1:]:
            if other.shape[1:] != first.shape[1:]:
                raise DataError(
                    f"{first_name} has {first.shape[1]}x{first.shape[2]} pixels and {name} {other.shape[1]}x"
                    f"{other.shape[2]}; arrays must lie on one grid: resample one to the other, or give files"
                )
            one, two = _grid(first), _grid(other)
            if one is not None and two is not None and not (same_crs(one.crs, two.crs) and one.matches(two, 0.5)):
                raise DataError(
                    f"{first_name} and {name}: their coordinates place them apart; arrays must lie on one grid: "
                    "resample one to the other, or give files"
                )
        known_crs = next((each.crs for _, each in given if each.crs is not None), None)
        known = next((each.transform for _, each in given if each.transform is not None), None)
        if transform is not None:
            a, b, c, d, e, f = (float(number) for number in tuple(transform)[:6])
            known = (a, b, c, d, e, f)
        text = known_crs if crs is None else crs_text("crs", crs)
        if text is not None and known is None:
            raise DataError(f"crs {text}: says nothing without a transform: give both")
        if known is not None and (known[1] != 0 or known[3] != 0 or known[0] == 0 or known[4] == 0):
            raise DataError(f"transform {known}: the grid must run along the axes: resample the arrays")
        grid = GeoGrid(text, known or (1.0, 0.0, 0.0, 0.0, 1.0, 0.0), first.shape[1], first.shape[2])
        if not grid.has_distinct_pixels:
            raise DataError(f"transform {known}: gives pixels without area or place: correct it")
        return grid

    def _sensor(self, sensor: Sensor, names: Sequence[str], window: Window) -> tuple[_Numbers, _Mask]:
        values = np.zeros((len(names), window.height, window.width), np.float32)
        valid = np.zeros((window.height, window.width), np.bool_)
        inner, (top, left) = clip(window, self._grid)
        if inner is None or sensor not in self._cubes:
            return values, valid
        place = (slice(top, top + inner.height), slice(left, left + inner.width))
        part = self._numbers(sensor, inner)
        usable = self._valid_pixels(sensor, names, part)
        if sensor == "sar" and self._linear:
            usable &= (part > 0).all(axis=0)
            part = 10 * np.log10(np.where(usable, part, np.float32(1)))
        limits = {"db": DB_RANGE, "reflectance": REFLECTANCE_RANGE, "dn": (-np.inf, np.inf)}[self._unit(sensor)]
        usable &= ((part >= limits[0]) & (part <= limits[1])).all(axis=0)
        if sensor == "optical" and self._clouds is not None:
            usable &= ~_hidden(self._clouds, inner)
        values[:, *place] = np.where(usable, part, np.float32(0))
        valid[place] = usable
        return values, valid

    def _numbers(self, sensor: Sensor, window: Window) -> _Numbers:
        """Return the model's channels inside a window, NaN where the array says nodata."""
        given = self._cubes[sensor]
        stored = _slice(given, window)[self._channels[sensor]]
        numbers: _Numbers = stored.astype(np.float32)
        if given.nodata is not None and not np.isnan(given.nodata):
            numbers[stored == given.nodata] = np.nan
        return numbers

    def _valid_pixels(self, sensor: Sensor, names: Sequence[str], part: _Numbers) -> _Mask:
        usable: _Mask = np.logical_and.reduce(np.isfinite(part), axis=0)
        if self._unit(sensor) == "dn":
            for date in {band_date(name) for name in names}:
                of_date = [channel for channel, name in enumerate(names) if band_date(name) == date]
                dark: _Mask = np.logical_and.reduce(part[of_date] == 0, axis=0)
                usable &= ~dark
        return usable

    def _unit(self, sensor: Sensor) -> Unit:
        return self._bands.sar_unit if sensor == "sar" else self._bands.optical_unit

    def _check_values(self, sensor: Sensor) -> None:
        if self._unit(sensor) == "dn":
            return
        names = self._bands.sar if sensor == "sar" else self._bands.optical
        parts = []
        for window in sample_windows(self._grid.height, self._grid.width):
            if window is None:
                break
            part = self._numbers(sensor, window)
            parts.append(part[:, self._valid_pixels(sensor, names, part)])
        samples = dict(zip(names, np.concatenate(parts, axis=1), strict=True))
        if sensor == "sar":
            check_radar("sar", samples, linear=self._linear)
        else:
            self._assumptions.extend(check_physical_reflectance("optical", samples))


def _grid(given: ArrayImage) -> GeoGrid | None:
    if given.transform is None:
        return None
    return GeoGrid(given.crs, given.transform, given.shape[1], given.shape[2])


def _slice(given: ArrayImage, window: Window) -> NDArray[np.generic]:
    rows = slice(window.top, window.top + window.height)
    columns = slice(window.left, window.left + window.width)
    return np.asarray(given.pixels[:, rows, columns])


def _hidden(clouds: ArrayImage, window: Window) -> _Mask:
    values = _slice(clouds, window)[0].astype(np.float32)
    nodata = np.isnan(values) | (values == clouds.nodata if clouds.nodata is not None else False)
    hidden: _Mask = (values != 0) & ~nodata
    return hidden
