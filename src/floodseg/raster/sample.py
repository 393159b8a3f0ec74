"""Sample of the valid pixels of a raster, from which its unit is checked."""

import json
import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from floodseg.bands import SarUnits
from floodseg.raster.physical import PixelMasks, physical
from floodseg.raster.scaling import Quantity, StoredBand

MIN_PIXELS = 100
"""Fewest valid pixels for a check. Fewer, such as one bright roof at a swath edge, are no evidence."""

ENOUGH_PIXELS = 100_000
"""Valid pixels from which levels that no scene has are an error. In smaller images they can be a bright spot."""

MAX_ODD_SHARE = 0.01
"""Share of values outside the possible range above which a raster is refused. Up to it, their pixels become invalid."""

_MOST_PIXELS = 40_000
"""Largest number of pixels of a window or a chip that are checked."""


@dataclass(frozen=True, slots=True)
class Sample:
    """Valid pixels of one file, spread over it."""

    name: str
    """Name of the file in messages."""
    bands: tuple[str, ...]
    values: NDArray[np.float32]
    """(C, N), after scale and offset, in the unit of the file: power and amplitude are not converted to dB."""
    stored: NDArray[np.generic]
    """(C, N), the same as the file holds them."""
    pixels: int
    """Estimated number of valid pixels of the file."""
    area: int = 0
    """Number of pixels that were read."""
    fillers: Mapping[float, int] = field(default_factory=dict)
    """Number of pixels by undeclared filler."""
    is_file: bool = True
    """False for an array in memory, which has no tags."""

    @property
    def is_tagged(self) -> bool:
        """True if GDAL scale and offset tags changed radar values."""
        return not np.array_equal(self.values, self.stored.astype(np.float32))


def sample_of(
    name: str,
    bands: Sequence[StoredBand],
    stored: NDArray[np.generic],
    quantity: Quantity,
    masks: PixelMasks | None = None,
) -> Sample:
    """Return valid pixels of stored numbers, (C, H, W): at most ``_MOST_PIXELS``, spread evenly over all.

    The arguments are those of ``physical``.
    """
    size = stored[0].size
    step = -(-size // _MOST_PIXELS)
    thinned = stored.reshape(len(stored), 1, -1)[..., ::step]
    reading = physical(thinned, bands, quantity.as_stored, masks and masks.thinned(step))
    usable = ~(reading.missing | reading.fill)
    share = size / max(usable.size, 1)
    return Sample(
        name,
        tuple(band.name for band in bands),
        reading.values[:, usable],
        thinned[:, usable],
        round(np.count_nonzero(usable) * share),
        size,
        {filler: round(count * share) for filler, count in reading.fillers.items()},
    )


def joined(samples: Sequence[Sample]) -> Sample:
    """Return samples of one file as one."""
    values = np.concatenate([sample.values for sample in samples], axis=1)
    stored = np.concatenate([sample.stored for sample in samples], axis=1)
    first = samples[0]
    pixels, area = sum(sample.pixels for sample in samples), sum(sample.area for sample in samples)
    fillers: Counter[float] = Counter()
    for sample in samples:
        fillers.update(sample.fillers)
    return replace(first, values=values, stored=stored, pixels=pixels, area=area, fillers=fillers)


def values_by_band(samples: Sequence[Sample]) -> dict[str, NDArray[np.float32]]:
    """Return the values of all bands of an image, in one or several files: band -> (N,)."""
    return {band: row for sample in samples for band, row in zip(sample.bands, sample.values, strict=True)}


def stored_text(value: np.generic) -> str:
    """Return a stored number as the shortest text that reads back as the same number of its type."""
    return str(value).removesuffix(".0")


def single_filler(sample: Sample, is_odd: NDArray[np.bool_]) -> np.generic | None:
    """Return the stored number of most values marked in ``is_odd``, (C, N), without which few of them remain.

    None if there is no such number: to declare one as nodata would not make the raster plausible.
    """
    numbers, counts = np.unique(sample.stored[is_odd], return_counts=True)
    if not len(numbers):
        return None
    most: np.generic = numbers[counts.argmax()]
    others = is_odd & (sample.stored != most).all(axis=0)
    return most if np.count_nonzero(others) <= MAX_ODD_SHARE * is_odd.size else None


def nodata_remedy(sample: Sample, is_odd: NDArray[np.bool_]) -> str | None:
    """Return the remedy for one undeclared nodata value among the values marked in ``is_odd``, or None."""
    filler = single_filler(sample, is_odd)
    if filler is None:
        return None
    text = stored_text(filler)
    return f"declare the nodata value ({nodata_line(sample, text)})" if sample.is_file else f"set {text} to NaN"


def nodata_line(sample: Sample, text: str) -> str:
    """Return the command that declares a nodata value."""
    return shlex.join(["rio", "edit-info", "--nodata", text, sample.name])


def scale_remedy(sample: Sample, factor: float, filler: np.generic | None = None) -> str:
    """Return the remedy for dB that need a factor: the commands that set the GDAL scale tag, and a nodata value."""
    nodata = "" if filler is None else stored_text(filler)
    if not sample.is_file:
        return f"multiply the array by {factor:g}{f', with {nodata} set to NaN' if nodata else ''}"
    if sample.is_tagged:
        return f"multiply the GDAL scale and offset tags of each file by {factor:g}"
    gdal = ["gdal_edit.py", "-scale", f"{factor:g}", *(["-a_nodata", nodata] if nodata else []), sample.name]
    python = edit_command(sample.name, f"f.scales = [{factor:g}] * f.count{f'; f.nodata = {nodata}' if nodata else ''}")
    return (
        f"set the GDAL scale tag{' and the nodata value' if nodata else ''} of each file ({shlex.join(gdal)}, or "
        f"{python})"
    )


def edit_command(name: str, statements: str) -> str:
    """Return the command that opens a file as ``f`` and runs Python statements, which hold no single quotes."""
    opened = f'import rasterio; f = rasterio.open({json.dumps(name, ensure_ascii=False)}, "r+")'
    return shlex.join(["python", "-c", f"{opened}; {statements}; f.close()"])


def undo_remedy(sample: Sample, step: str, units: SarUnits) -> str:
    """Return the remedy for dB that a processing step changed."""
    if not sample.is_file:
        return f"pass the values in dB from before {step}{'' if units == 'db' else ', with `sar_units=db`'}"
    return (
        f"use the file from before {step}, or undo it with GDAL scale and offset tags that give dB"
        f"{'' if units == 'db' else ', with `sar_units=db`'}"
    )
