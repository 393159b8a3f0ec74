"""Selection of the bands of a data set, from its files and the settings."""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from logging import INFO
from pathlib import Path

from floodseg.bands import L1C_BANDS, SAR_BANDS, Bands, Sensor, canonical_band, source_bands
from floodseg.config.data import DataConfig
from floodseg.errors import ConfigError, DataError
from floodseg.messages import SENSOR_NAMES, note_once
from floodseg.raster.bands import band_indices, has_unnamed_bands, unused_labels
from floodseg.raster.dataset import open_raster


def choose_bands(config: DataConfig, sar: Iterable[Path], optical: Iterable[Path], folder: str) -> Bands:
    """Return the bands of a data set: those in its files that the settings select.

    Args:
        config: ``sensors`` and ``optical_bands`` select; by default, the first readable optical file does.
        sar: radar files of all splits.
        optical: optical files of all splits.
        folder: folder named in messages.

    Raises:
        DataError: a requested sensor, or both sensors, are missing, or the first optical file lacks a requested band.
        ConfigError: ``optical_bands`` has an unknown or repeated band, or a setting concerns an unused sensor.
    """
    first_sar, first_optical = _first_readable(sar, "sar"), _first_readable(optical, "optical")
    require_sensors(config, {"sar": first_sar is not None, "optical": first_optical is not None}, folder)
    if first_sar is None and first_optical is None:
        settings = "`data`, `sar_dir` and `opt_dir`" if config.layout == "folders" else "`data`"
        raise DataError(f"{folder}: holds no radar and no optical image; check {settings}")
    sar_bands = SAR_BANDS if first_sar and config.sensors != "optical" else ()
    optical_bands = _optical_bands(config, first_optical) if first_optical and config.sensors != "sar" else ()
    if first_sar and sar_bands:
        _note_order(first_sar, "sar")
    if config.sar_units != "db" and not sar_bands:
        raise ConfigError(f"`sar_units={config.sar_units}`: no radar image is in use; leave out `sar_units`")
    if config.optical_offset is not None and not optical_bands:
        raise ConfigError(
            f"`optical_offset={config.optical_offset}`: no optical image is in use; leave out `optical_offset`"
        )
    require_optical(config, in_use=bool(optical_bands))
    return Bands(sar=sar_bands, optical=optical_bands)


def require_sensors(config: DataConfig, present: dict[Sensor, bool], folder: str) -> None:
    """Raise DataError if a data set lacks a sensor that ``config.sensors`` requests."""
    for sensor, is_present in present.items():
        if config.sensors in (sensor, "both") and not is_present:
            raise DataError(
                f"`sensors={config.sensors}`: {folder} holds no {SENSOR_NAMES[sensor]} image; add its files, or "
                "leave out `sensors`"
            )


def require_optical(config: DataConfig, *, in_use: bool) -> None:
    """Raise ConfigError if ``config.optical_bands`` would have no effect."""
    if config.optical_bands and not in_use:
        raise ConfigError(
            f"`optical_bands={' '.join(config.optical_bands)}`: no optical image is in use; leave out `optical_bands`"
        )


def require_distinct(names: Sequence[str], bands: Sequence[str]) -> None:
    """Raise ConfigError if a band occurs twice; ``names`` are the bands as the user wrote them."""
    if len(set(bands)) < len(bands):
        raise ConfigError(f"`optical_bands={' '.join(names)}`: a band is named twice; name each once")


def canonical_optical_bands(names: Sequence[str]) -> tuple[str, ...]:
    """Return the canonical names of Sentinel-2 bands, in the same order.

    Raises:
        ConfigError: a name is unknown, or a band occurs twice.
    """
    known = [(name, canonical_band(name, "optical")) for name in names]
    unknown = [name for name, band in known if band is None]
    if unknown:
        raise ConfigError(
            f"`optical_bands={' '.join(names)}`: {', '.join(unknown)} is not a Sentinel-2 band; valid "
            f"names are {', '.join(L1C_BANDS)}"
        )
    bands = tuple(band for _, band in known if band is not None)
    require_distinct(names, bands)
    return bands


def _first_readable(paths: Iterable[Path], sensor: Sensor) -> Path | None:
    """Return the first file whose bands can be read, else the first file; None without files."""
    ordered = sorted(paths)
    for path in ordered:
        with suppress(DataError), open_raster(path) as source:
            band_indices(source, sensor)
            return path
    return ordered[0] if ordered else None


def _optical_bands(config: DataConfig, first: Path) -> tuple[str, ...]:
    _note_order(first, "optical")
    with open_raster(first) as source:
        stored = band_indices(source, "optical")
    wanted = canonical_optical_bands(config.optical_bands)
    missing = [band for band in wanted if band not in source_bands(wanted, stored)]
    if missing:
        raise DataError(
            f"`optical_bands={' '.join(config.optical_bands)}`: {first} has no band {', '.join(missing)}; choose among "
            f"{', '.join(stored)}"
        )
    return wanted or tuple(stored)


def _note_order(path: Path, sensor: Sensor) -> None:
    with open_raster(path) as source:
        if has_unnamed_bands(source, sensor):
            names = ", ".join(band_indices(source, sensor))
            note_once(INFO, f"{path}: bands have no names and are taken by order: {names}")
        elif unused := unused_labels(source, sensor):
            note_once(INFO, f"{path}: bands with unknown names are not used: {', '.join(unused)}")
