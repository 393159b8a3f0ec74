"""Chips that lie in files: one raster per sensor and one for the label."""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from logging import INFO
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from floodseg.bands import L1C_BANDS, SAR_BANDS, canonical_band
from floodseg.chips.cache.store import RasterCache, open_through
from floodseg.chips.chip import Bands, ChipArrays
from floodseg.config.train import DataConfig
from floodseg.datasets.base import LabelledChips, no_pixels
from floodseg.errors import ConfigError, DataError
from floodseg.geo.grid import Window
from floodseg.messages import note_once
from floodseg.raster.dataset import (
    Frame,
    band_indices,
    check_same_frame,
    frame_of,
    open_raster,
    takes_bands_by_order,
)
from floodseg.raster.read import Pixels, read_label, read_optical, read_sar


@dataclass(frozen=True, slots=True)
class ChipFiles:
    """Where one chip lies; a sensor that it lacks has no path."""

    name: str
    event: str
    sar: Path | None
    optical: Path | None
    label: Path


@dataclass(slots=True)
class FileChips(LabelledChips[ChipFiles]):
    """The chips of one split, one raster per sensor and one for the label."""

    sar_units: Literal["db", "linear"] = "db"
    optical_offset: float | None = None
    cache: RasterCache | None = None
    """Where decoded files are kept; None reads them anew each time."""

    def _read_label(self, files: ChipFiles) -> tuple[NDArray[np.uint8], Frame]:
        with open_through(self.cache, files.label) as source:
            return read_label(source), frame_of(source)

    def _read_sensors(
        self, files: ChipFiles, frame: Frame, window: Window, into: ChipArrays | None
    ) -> tuple[Pixels, Pixels]:
        return (
            self._sensor(files.sar, "sar", frame, window, into.sar if into else None),
            self._sensor(files.optical, "optical", frame, window, into.optical if into else None),
        )

    def _sensor(
        self,
        path: Path | None,
        sensor: Literal["sar", "optical"],
        frame: Frame,
        window: Window,
        out: NDArray[np.float32] | None,
    ) -> Pixels:
        names = self.bands.sar if sensor == "sar" else self.bands.optical
        if path is None or not names:
            return no_pixels(len(names), window, out)
        with open_through(self.cache, path) as source:
            check_same_frame(frame_of(source), frame)
            if sensor == "sar":
                return read_sar(source, self.sar_units, window, out, check_units=not self.checked)
            return read_optical(source, names, self.optical_offset, window, out, check_units=not self.checked)


def choose_bands(config: DataConfig, sar: Iterable[Path], optical: Iterable[Path], place: str) -> Bands:
    """Return the bands of a data set: those of its first sound optical file, narrowed to what is asked for.

    Args:
        config: its ``sensors`` and ``optical_bands`` are followed.
        sar: all radar files of the data set, whatever the split.
        optical: all its optical files.
        place: the folder, for messages.

    Raises:
        DataError: a sensor that was asked for, or both, are not there; a band that the first optical file lacks.
        ConfigError: ``optical_bands`` holds what is no band name, or one twice.
    """
    first_sar, first_optical = _first_sound(sar, "sar"), _first_sound(optical, "optical")
    for wanted, first in (("sar", first_sar), ("optical", first_optical)):
        if config.sensors in (wanted, "both") and first is None:
            raise DataError(
                f"--sensors {config.sensors}: {place} holds no {wanted} image; an asked-for sensor must be there: "
                "add its files or leave the flag out"
            )
    if first_sar is None and first_optical is None:
        raise DataError(f"{place}: holds no radar and no optical image; at least one is needed: check --data")
    sar_bands = SAR_BANDS if first_sar and config.sensors != "optical" else ()
    optical_bands = _optical_bands(config, first_optical) if first_optical and config.sensors != "sar" else ()
    if first_sar and sar_bands:
        _note_order(first_sar, "sar")
    if config.sar_units != "db" and not sar_bands:
        raise ConfigError(f"--sar-units {config.sar_units}: no radar image is in use; leave the flag out")
    if config.optical_offset is not None and not optical_bands:
        raise ConfigError(f"--optical-offset {config.optical_offset}: no optical image is in use; leave the flag out")
    if config.optical_bands and not optical_bands:
        raise ConfigError(
            f"--optical-bands {' '.join(config.optical_bands)}: no optical image is in use; leave the flag out"
        )
    return Bands(sar=sar_bands, optical=optical_bands)


def _first_sound(paths: Iterable[Path], sensor: Literal["sar", "optical"]) -> Path | None:
    """Return the first file whose bands can be told, so that one bad file does not decide for all; else the first."""
    ordered = sorted(paths)
    for path in ordered:
        with suppress(DataError), open_raster(path) as source:
            band_indices(source, sensor)
            return path
    return ordered[0] if ordered else None


def _optical_bands(config: DataConfig, first: Path) -> tuple[str, ...]:
    _note_order(first, "optical")
    with open_raster(first) as source:
        held = band_indices(source, "optical")
    wanted = selected_bands(config.optical_bands)
    missing = [band for band in wanted if band not in held]
    if missing:
        raise DataError(
            f"--optical-bands {' '.join(config.optical_bands)}: {first} has no band {', '.join(missing)}; the bands "
            f"must be in the files: choose among {', '.join(held)}"
        )
    return wanted or tuple(held)


def selected_bands(names: Sequence[str]) -> tuple[str, ...]:
    """Return the canonical names of the optical bands that were asked for, in the order given; see ConfigError."""
    known = [(name, canonical_band(name, "optical")) for name in names]
    unknown = [name for name, band in known if band is None]
    if unknown:
        raise ConfigError(
            f"--optical-bands {' '.join(names)}: {', '.join(unknown)} is no Sentinel-2 band; the names are "
            f"{', '.join(L1C_BANDS)}"
        )
    bands = tuple(band for _, band in known if band is not None)
    if len(set(bands)) < len(bands):
        raise ConfigError(f"--optical-bands {' '.join(names)}: a band is named twice; name each once")
    return bands


def _note_order(path: Path, sensor: Literal["sar", "optical"]) -> None:
    with open_raster(path) as source:
        if takes_bands_by_order(source, sensor):
            names = ", ".join(band_indices(source, sensor))
            note_once(INFO, f"{path}: its bands have no names, so they are taken by order: {names}")
