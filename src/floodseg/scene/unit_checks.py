"""Sampling of images, to check their pixels for wrong units, swapped bands and wrong offsets.

A few impossible pixels pass the checks; they become invalid when they are read.
"""

import shlex
from collections.abc import Callable, Iterator
from dataclasses import replace

from floodseg.bands import SarUnits
from floodseg.errors import DataError
from floodseg.geo.grid import Window
from floodseg.raster.radar_checks import UNIT_NAMES, WrongUnitError, check_radar
from floodseg.raster.reflectance_checks import check_fillers, check_reflectance
from floodseg.raster.sample import Sample, joined, sample_of
from floodseg.scene.image import Image, ImageFile, pixel_masks, read_stored
from floodseg.scene.session import Session

_FORMULAS: dict[tuple[str, SarUnits], str] = {
    ("linear", "db"): "10*log10(A)",
    ("amplitude", "db"): "20*log10(A)",
    ("db", "linear"): "10**(A/10)",
    ("amplitude", "linear"): "A*A",
    ("db", "amplitude"): "10**(A/20)",
}
"""Formulas of ``gdal_calc.py`` from a unit to another one."""

_WINDOW_SIDE = 64
"""Rows and columns of a sampled window."""

_SMALL_IMAGE = 512
"""Images of up to this many rows and columns are sampled completely."""

_ENOUGH_PIXELS = 10_000
"""Valid pixels at which sampling stops."""


def check_image(session: Session, image: Image) -> list[str]:
    """Check a sample of an image for another unit, another band order and a wrong offset.

    Digital numbers and products whose metadata define unit and offset are not checked.

    Returns:
        Notes on values that are doubtful but no error.

    Raises:
        DataError: values that cannot have the unit, swapped polarisations, or a wrong offset.
    """
    if image.request.unit == "dn" or image.offset_source == "metadata":
        return []
    samples = [_sample(session, file, image) for file in image.files]
    if image.request.sensor == "sar":
        try:
            note = check_radar(samples, image.request.sar_units)
        except WrongUnitError as error:
            if image.request.setting == "sar_before" and error.units:
                raise _conversion_error(error, image) from error
            raise
        return [] if note is None else [f"{image.name}: {note}"]
    check_fillers(samples)
    check_reflectance(samples, image.offset_source, image.files[0].bands[0].stored_offset)
    return []


def _conversion_error(error: WrongUnitError, image: Image) -> DataError:
    """Return an error on the unit of an earlier image with the conversion to the unit of the main one."""
    file, to = image.files[0].path, image.request.sar_units
    commands = " or ".join(
        shlex.join(["gdal_calc.py", "-A", file, "--allBands=A", f"--calc={_FORMULAS[unit, to]}", "--outfile=NEW.tif"])
        + (f" from {UNIT_NAMES[unit]}" if len(error.units) > 1 else "")
        for unit in error.units
    )
    return DataError(
        f"{error.fault}, but `sar` is in {UNIT_NAMES[to]}, and both images must have the same unit; convert this one "
        f"({commands})"
    )


def _sample(session: Session, file: ImageFile, image: Image) -> Sample:
    """Return a sample of all bands of a file, unused ones included."""
    bands = (*file.bands, *file.unused)

    def read(window: Window) -> Sample:
        stored = read_stored(session, file, bands, window)
        masks = pixel_masks(session, replace(file, bands=bands, unused=()), window)
        return sample_of(file.path, bands, stored, image.request.quantity, masks)

    return sample_windows(file.grid.height, file.grid.width, read)


def sample_windows(height: int, width: int, read: Callable[[Window], Sample]) -> Sample:
    """Read windows spread over an image until they hold enough valid pixels.

    The number of valid pixels of the image is estimated from their share in the windows.
    """
    samples: list[Sample] = []
    area = 0
    for grid in _windows(height, width):
        samples.extend(read(window) for window in grid)
        area += sum(window.height * window.width for window in grid)
        sample = joined(samples)
        if sample.pixels >= _ENOUGH_PIXELS:
            break
    return replace(sample, pixels=round(sample.pixels / area * height * width))


def _windows(height: int, width: int) -> Iterator[list[Window]]:
    """Yield grids of windows, from coarse to fine; a single window for a small image."""
    if height <= _SMALL_IMAGE and width <= _SMALL_IMAGE:
        yield [Window(0, 0, height, width)]
        return
    for count in (5, 8):
        yield [
            Window(top, left, min(_WINDOW_SIDE, height - top), min(_WINDOW_SIDE, width - left))
            for top in _starts(height, count)
            for left in _starts(width, count)
        ]


def _starts(length: int, count: int) -> list[int]:
    return [max(0, int((number + 0.5) / count * length) - _WINDOW_SIDE // 2) for number in range(count)]
