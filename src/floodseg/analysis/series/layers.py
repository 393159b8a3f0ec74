"""Rasters of a series: names, codes, units, and their values from the history of pixels."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from floodseg.analysis.series.dates import SeriesDate
from floodseg.analysis.series.history import MONTHS, NONE, PixelHistory
from floodseg.products.raw_raster import Dtype, RasterFormat

NO_PERCENT = 255
NO_DAY = -32_768
NO_DURATION = -9_999.0
NO_CODE = 255

NEVER_WET, CLOSED, OPEN_BEFORE, OPEN_AFTER, OPEN = range(5)
"""Codes of ``duration_bracket.tif``."""
BRACKET_NAMES = {
    NEVER_WET: "never water",
    CLOSED: "closed: dry before and after",
    OPEN_BEFORE: "open before: no dry date before",
    OPEN_AFTER: "open after: no dry date after",
    OPEN: "open: no dry date before or after",
}
BRACKET_COLOURS = {
    NEVER_WET: (239, 233, 218, 255),
    CLOSED: (31, 120, 180, 255),
    OPEN_BEFORE: (127, 183, 126, 255),
    OPEN_AFTER: (230, 159, 0, 255),
    OPEN: (8, 29, 88, 255),
}
NOT_WATER, WATER = 0, 1
"""Codes of the reference water of a month."""
_REFERENCE_NAMES = {NOT_WATER: "no reference water", WATER: "reference water"}
_REFERENCE_COLOURS = {NOT_WATER: BRACKET_COLOURS[NEVER_WET], WATER: BRACKET_COLOURS[OPEN]}
_DATE, _DAYS = "days since 1970-01-01", "days"


@dataclass(frozen=True, slots=True)
class Layer:
    """One raster of a series."""

    name: str
    """File name without its suffix."""
    format: RasterFormat

    @property
    def file(self) -> str:
        """Name of the file."""
        return f"{self.name}.tif"


FREQUENCY = Layer("frequency", RasterFormat("water share of the clear observations", "average", NO_PERCENT, unit="%"))
BRACKET = Layer(
    "duration_bracket",
    RasterFormat("bracket of the duration", "mode", NO_CODE, names=BRACKET_NAMES, colours=BRACKET_COLOURS),
)


def _number(name: str, title: str, unit: str, dtype: Dtype, nodata: float | None = None) -> Layer:
    return Layer(name, RasterFormat(title, "nearest", nodata, unit, dtype))


LAYERS = (
    FREQUENCY,
    _number("n_valid", "number of clear observations", "observations", "uint16"),
    _number("first_wet", "first date with water", _DATE, "int16", NO_DAY),
    _number("last_wet", "last date with water", _DATE, "int16", NO_DAY),
    _number("duration_min", "shortest duration: last wet minus first wet", _DAYS, "float32", NO_DURATION),
    _number("duration_max", "longest duration: next dry minus previous dry", _DAYS, "float32", NO_DURATION),
    BRACKET,
    _number("wet_spells", "number of wet spells, with dry observations between them", "spells", "uint16"),
)


def reference_layer(month: int) -> Layer:
    """Return the raster of the reference water of a month, 1 to 12."""
    title = f"water in most clear observations of month {month}"
    kind = RasterFormat(title, "mode", NO_CODE, names=_REFERENCE_NAMES, colours=_REFERENCE_COLOURS)
    return Layer(f"reference_water_{month:02d}", kind)


def months_without_dates(dates: Sequence[SeriesDate]) -> list[int]:
    """Return the months (1 to 12) of which no date is."""
    return sorted(set(range(1, MONTHS + 1)) - {each.time.month for each in dates})


def series_layers(dates: Sequence[SeriesDate]) -> tuple[Layer, ...]:
    """Return the rasters of a series; reference water needs dates in each of the twelve months."""
    months = () if months_without_dates(dates) else range(1, MONTHS + 1)
    return (*LAYERS, *(reference_layer(month) for month in months))


def layer_values(history: PixelHistory, dates: Sequence[SeriesDate]) -> dict[str, NDArray[Any]]:
    """Return the values of each raster of :func:`series_layers` by its name, (H, W) each."""
    days = np.array([each.day for each in dates] + [0] * (NONE + 1 - len(dates)), np.int16)
    wet = history.first_wet != NONE
    seen = history.n_valid > 0
    with np.errstate(divide="ignore", invalid="ignore"):
        percent = np.rint(100 * history.n_wet.astype(np.float32) / history.n_valid)
    bracket = (NEVER_WET + (CLOSED - NEVER_WET) * wet).astype(np.uint8)
    bracket += wet & (history.previous_dry == NONE)
    bracket += 2 * (wet & (history.next_dry == NONE)).astype(np.uint8)
    bracket[~seen] = NO_CODE
    values: dict[str, NDArray[Any]] = {
        "frequency": np.where(seen, percent, NO_PERCENT).astype(np.uint8),
        "n_valid": history.n_valid,
        "first_wet": np.where(wet, days[history.first_wet], np.int16(NO_DAY)),
        "last_wet": np.where(wet, days[history.last_wet], np.int16(NO_DAY)),
        "duration_min": _duration(history.first_wet, history.last_wet, wet, dates),
        "duration_max": _duration(history.previous_dry, history.next_dry, bracket == CLOSED, dates),
        "duration_bracket": bracket,
        "wet_spells": history.n_spells,
    }
    if not months_without_dates(dates):
        for month in range(1, MONTHS + 1):
            water, seen = history.reference_water(month)
            values[reference_layer(month).name] = np.where(seen, water, NO_CODE).astype(np.uint8)
    return values


def _duration(
    begin: NDArray[np.uint16], end: NDArray[np.uint16], where: NDArray[np.bool_], dates: Sequence[SeriesDate]
) -> NDArray[np.float32]:
    """Return the days between two dates of each pixel, (H, W); ``NO_DURATION`` elsewhere."""
    # days since the first date, so that float32 keeps seconds
    times = np.zeros(NONE + 1)
    times[: len(dates)] = [each.exact_days - dates[0].exact_days for each in dates]
    return np.where(where, times[end] - times[begin], NO_DURATION).astype(np.float32)
