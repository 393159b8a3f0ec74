"""Checks that the values of a raster have the declared unit: dB or reflectance."""

import numpy as np
from numpy.typing import NDArray

from floodseg.bands import REFLECTANCE_SCALE, SarUnits
from floodseg.errors import DataError
from floodseg.raster.dataset import Raster
from floodseg.raster.scaling import has_scaling

DB_RANGE = (-100.0, 60.0)
"""Possible backscatter in dB. Values outside have another unit or are an undeclared nodata value."""

REFLECTANCE_RANGE = (-2.0, 20.0)
"""Possible reflectance. Clouds and glint exceed 1 and shadows fall slightly below 0, but not by this much."""

MIN_PIXELS = 100
"""Fewest valid pixels for a check of the unit. Fewer, such as one bright roof at a swath edge, are no evidence."""


def check_db(name: str, values: NDArray[np.float32], valid: NDArray[np.bool_], units: SarUnits) -> None:
    """Raise DataError unless the values of a chip, (2, H, W), are dB; ``units`` are those of the file."""
    if not valid.any():
        return
    low, high = DB_RANGE
    lowest, highest = float(values.min()), float(values.max())  # invalid pixels hold 0, which is inside the range
    if lowest < low or highest > high:
        raise DataError(
            f"{name}: radar values from {lowest:g} to {highest:g} are not dB, which lies within {low:g} to {high:g}: "
            "use `sar_units=linear` for linear power, or declare the nodata value in the file"
        )
    if units == "db" and np.count_nonzero(valid) >= MIN_PIXELS and lowest >= 0:
        raise DataError(
            f"{name}: no radar value is below 0 (highest {highest:g}), so they cannot be dB: "
            "use `sar_units=linear` if they are linear power"
        )


def check_reflectance(
    source: Raster, numbers: list[int], values: NDArray[np.float32], valid: NDArray[np.bool_], offset: float
) -> None:
    """Raise DataError unless the values of a chip, (C, H, W), are reflectance; ``offset`` is in stored numbers."""
    if np.count_nonzero(valid) < MIN_PIXELS:
        return
    is_float = np.issubdtype(np.dtype(source.dtypes[numbers[0] - 1]), np.floating)
    is_tagged = has_scaling(source, numbers)
    low, high = REFLECTANCE_RANGE
    lowest, highest = float(values.min()), float(values.max())
    if lowest < low or highest > high:
        rule = "GDAL scale and offset tags must give reflectance" if is_tagged else "0 to 1"
        raise DataError(
            f"{source.name}: optical values from {lowest:g} to {highest:g} are not reflectance ({rule}): correct the "
            "tags (scale 0.0001 and offset -0.1 for baseline 04.00), `optical_offset` or the nodata value"
        )
    if is_tagged or not is_float:
        return
    stored_highest = float(values[:, valid].max()) * REFLECTANCE_SCALE - offset
    if stored_highest < high:
        raise DataError(
            f"{source.name}: optical values reach only {stored_highest:g}, but must be reflectance "
            "times 10000: multiply them by 10000 or store them with a GDAL scale tag"
        )
