"""Images in memory from numpy or labelled (xarray) arrays, with band names and coordinates.

Labelled arrays are recognised by their attributes, so xarray is not imported.
"""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from floodseg.bands import MASK, Sensor, canonical_band, identify_band, names_scene_classes
from floodseg.errors import DataError
from floodseg.geo.grid import IDENTITY, GeoGrid, Transform, Window
from floodseg.raster.band_names import name_identities
from floodseg.scene.array_coordinates import array_crs, array_transform

_ROW_DIMS = ("y", "lat", "latitude", "northing", "row")
_COLUMN_DIMS = ("x", "lon", "longitude", "easting", "column")
_TIME_DIMS = ("time", "t", "date", "datetime")
_MOST_BANDS = 16
"""Largest number of bands of an image. A last axis of at most this length is taken for bands."""


@dataclass(frozen=True, slots=True)
class ArrayImage:
    """An image in memory, (C, H, W). ``pixels`` may be lazy: only slices of it are loaded."""

    pixels: Any
    names: tuple[str | None, ...]
    """Identity of each band: a canonical name, ``MASK``, ``OTHER``, or None without a name."""
    crs: str | None
    transform: Transform | None
    nodata: float | None
    scale: float = 1.0
    offset: float = 0.0
    """``scale`` and ``offset`` of stored numbers that are not decoded yet."""
    labels: tuple[str | None, ...] = ()
    """Names of the bands as the caller wrote them, None for bands without a name."""

    def read(self, window: Window) -> tuple[NDArray[np.generic], NDArray[np.bool_] | None]:
        """Return the stored numbers inside a window of the north-up grid, and where they are masked, (C, H, W) each.

        The second is None unless the array is a masked one.
        """
        grid = self.grid
        stored = grid.flip_window(window)
        rows = slice(stored.top, stored.top + stored.height)
        columns = slice(stored.left, stored.left + stored.width)
        part = self.pixels[:, rows, columns]
        if hasattr(part, "compute"):
            part = part.compute()
        masked = np.ma.getmaskarray(part) if isinstance(part, np.ma.MaskedArray) else None
        return grid.flip(np.asarray(part)), None if masked is None else grid.flip(masked)

    @property
    def grid(self) -> GeoGrid:
        """Grid of the array as it is stored; the transform is the identity by default."""
        return GeoGrid(self.crs, self.transform or IDENTITY, self.shape[1], self.shape[2]).without_rounding_rotation

    @property
    def shape(self) -> tuple[int, int, int]:
        """Bands, rows, columns."""
        count, height, width = self.pixels.shape
        return count, height, width


def array_image(argument: str, array: Any, sensor: Sensor | None) -> ArrayImage:
    """Return an array as (C, H, W) with its band names, coordinates and nodata value.

    Args:
        argument: name of the array in messages.
        array: a numpy array (C, H, W) or (H, W), also masked, or a labelled array with dimensions named y and x (or lat
            and lon) in any order and a time axis of at most one time, or a dataset with a variable for each band.
        sensor: sensor of the band names in the band coordinate, ``long_name`` or the dataset; None if they are taken by
            order.

    Raises:
        DataError: other dimensions, several times, or numbers that are not real.
    """
    if hasattr(array, "data_vars"):
        array = _stacked(argument, array, sensor)
    labelled = hasattr(array, "dims") and hasattr(array, "coords")
    if labelled:
        array = _transposed(argument, array)
    elif not isinstance(getattr(array, "dtype", None), np.dtype):
        array = np.asarray(array)  # a list, or a tensor with its own dtypes
    if len(array.shape) == 2:
        array = array.expand_dims("band") if labelled else array[None]
    _check_array(argument, array)
    if not labelled:
        return ArrayImage(array, (None,) * array.shape[0], None, None, None)
    scale, offset = _scaling(argument, array)
    names, labels = _names(array, sensor)
    return ArrayImage(
        array,
        names,
        array_crs(argument, array),
        array_transform(argument, array),
        _nodata(argument, array),
        scale,
        offset,
        labels,
    )


def _check_array(argument: str, array: Any) -> None:
    shape = tuple(array.shape)
    if len(shape) != 3:
        raise DataError(
            f"`{argument}`: the array has shape {shape}, but must be (bands, rows, columns); reorder its axes"
        )
    if 0 in shape:
        raise DataError(f"`{argument}`: the array of shape {shape} holds no pixel; pass an image")
    if shape[2] <= _MOST_BANDS < shape[0]:
        raise DataError(
            f"`{argument}`: the array has shape {shape}, with the bands in its last axis, but must be (bands, rows, "
            f"columns); pass np.moveaxis({argument}, -1, 0)"
        )
    if not (np.issubdtype(array.dtype, np.floating) or np.issubdtype(array.dtype, np.integer) or array.dtype == bool):
        raise DataError(
            f"`{argument}`: the array has the type {array.dtype}, but values must be real numbers; convert it"
        )


def _stacked(argument: str, dataset: Any, sensor: Sensor | None) -> Any:
    """Return the variables of a dataset (xarray) that are bands of the sensor, or its only variable, as one array."""
    # a NetCDF file that is opened without decode_coords="all" holds the map grid as a variable without dimensions
    dataset = dataset.set_coords([name for name, variable in dataset.data_vars.items() if not variable.dims])
    names = [str(name) for name in dataset.data_vars]
    bands = [name for name in dataset.data_vars if sensor is not None and canonical_band(str(name), sensor)]
    if len(names) == 1 and not bands:
        return dataset[names[0]]
    if not bands:
        renaming = {"sar": "name them vv and vh, or ", "optical": "name them (B03, B08, ...), or ", None: ""}[sensor]
        raise DataError(
            f"`{argument}`: the variables of the dataset are {', '.join(names)}, of which none is a known band; "
            f"{renaming}pass one DataArray"
        )
    variables = [dataset[name] for name in bands]
    classes = [name for name in dataset.data_vars if sensor == "optical" and names_scene_classes(str(name))]
    stored = [(_nodata(argument, variable), _scaling(argument, variable)) for variable in variables]
    if any(str(other) != str(stored[0]) for other in stored):
        raise DataError(
            f"`{argument}`: the variables {', '.join(map(str, bands))} differ in nodata value, scale or offset; decode "
            f"them first (xarray.decode_cf({argument}))"
        )
    used = [*bands, *classes]
    sizes = [{dim: size for dim, size in dataset[name].sizes.items() if size > 1} for name in used]
    if any(other != sizes[0] for other in sizes):
        without = f", or leave {', '.join(map(str, classes))} out ({argument}.drop_vars({classes}))" if classes else ""
        raise DataError(
            f"`{argument}`: the variables {', '.join(map(str, used))} differ in dimensions; resample them to one grid"
            f"{without}"
        )
    # in the type of the bands, since the type of the joined array shows how they are stored
    others = {
        name: (_without_gaps(argument, variable) if name in classes else variable > 0).astype(variables[0].dtype)
        for name, variable in dataset.data_vars.items()
        if name in classes or identify_band(str(name), "sar") == MASK
    }
    array = dataset[bands].assign(others).to_array("band")
    array.attrs = {**variables[0].attrs, **array.attrs}
    array.encoding = dict(variables[0].encoding)
    return array


def _without_gaps(argument: str, classes: Any) -> Any:
    """Return a scene classification (SCL) with 0, its class of no data, where it has no value."""
    nodata = _nodata(argument, classes)
    return classes.fillna(0) if nodata is None else classes.where(classes != nodata, 0).fillna(0)


def _transposed(argument: str, array: Any) -> Any:
    """Return a labelled array with the dimensions (bands, rows, columns) or (rows, columns)."""
    dims: Sequence[Hashable] = array.dims
    rows = [dim for dim in dims if str(dim).lower() in _ROW_DIMS]
    columns = [dim for dim in dims if str(dim).lower() in _COLUMN_DIMS]
    rest = [dim for dim in dims if dim not in rows and dim not in columns]
    for dim in [dim for dim in rest if _is_time(array, dim)]:
        if array.sizes[dim] > 1:
            raise DataError(
                f"`{argument}`: the array has {array.sizes[dim]} times along {dim}, but a scene has one; pass "
                f"{argument}.isel({dim}=0), or the time that is to be mapped"
            )
        array = array.isel({dim: 0}, drop=True)
        rest.remove(dim)
    if len(rows) != 1 or len(columns) != 1 or len(rest) > 1:
        raise DataError(
            f"`{argument}`: the array has the dimensions {', '.join(map(str, dims))}, but they must be bands, y and x; "
            "select one index along every other dimension (.isel), and rename these three"
        )
    return array.transpose(*rest, rows[0], columns[0])


def _is_time(array: Any, dim: Hashable) -> bool:
    is_date = dim in array.coords and np.issubdtype(array.coords[dim].dtype, np.datetime64)
    return is_date or str(dim).lower() in _TIME_DIMS


def _is_decoded(array: Any) -> bool:
    """Return True if the encoding describes the file and no longer the values, which xarray has scaled."""
    encoding = getattr(array, "encoding", {})
    is_scaled = "scale_factor" in encoding or "add_offset" in encoding
    return is_scaled and not np.issubdtype(array.dtype, np.integer)


def _nodata(argument: str, array: Any) -> float | None:
    """Return the nodata value that a labelled array declares. NaN is nodata in any case."""
    encoding = {} if _is_decoded(array) else getattr(array, "encoding", {})
    declared = [
        _tag(argument, tags, name, np.nan)
        for tags in (array.attrs, encoding)
        for name in ("nodata", "_FillValue", "missing_value")
        if tags.get(name) is not None
    ]
    return next((value for value in declared if not np.isnan(value)), declared[0] if declared else None)


def _tag(argument: str, tags: Mapping[str, Any], name: str, default: float) -> float:
    """Return the number of an attribute, which NetCDF readers may give as an array of one value."""
    value = tags.get(name)
    try:
        values = np.unique(np.asarray(default if value is None else value, dtype=np.float64))
    except (TypeError, ValueError):
        values = np.empty(0)
    if len(values) != 1:
        raise DataError(f"`{argument}`: its attribute {name} is {value!r}, but must be one number; correct it")
    return float(values[0])


def _scaling(argument: str, array: Any) -> tuple[float, float]:
    """Return scale and offset of a labelled array of integers; other values are decoded already."""
    if not np.issubdtype(array.dtype, np.integer):
        return 1.0, 0.0
    tags = {**getattr(array, "encoding", {}), **array.attrs}
    return _tag(argument, tags, "scale_factor", 1.0), _tag(argument, tags, "add_offset", 0.0)


def _names(array: Any, sensor: Sensor | None) -> tuple[tuple[str | None, ...], tuple[str | None, ...]]:
    """Return the identity of each band and its name, None without a name."""
    count: int = array.shape[0]
    labels: Sequence[object] = ()
    if array.dims[0] in array.coords:
        labels = [
            label.decode(errors="replace") if isinstance(label, bytes) else label  # as HDF5 stores text
            for label in np.atleast_1d(np.asarray(array.coords[array.dims[0]]))
        ]
    long_names = array.attrs.get("long_name")
    if not any(isinstance(name, str) for name in labels) and isinstance(long_names, (tuple, list)):
        labels = long_names
    if sensor is None or len(labels) != count:
        return (None,) * count, (None,) * count
    texts = tuple(label if isinstance(label, str) else None for label in labels)
    return name_identities(texts, sensor), texts
