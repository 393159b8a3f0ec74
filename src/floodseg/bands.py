"""Sensors, band names and their order, units, class codes and per-band statistics.

Data sets, checkpoints and configuration all use the band names of this module.
"""

import re
from collections.abc import Collection, Container, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import PurePosixPath
from typing import Literal

from floodseg.errors import ConfigError

LAND = 0
WATER = 1
IGNORE = 255
"""Label codes. ``IGNORE`` marks pixels without a label and pixels outside the image."""

Sensor = Literal["sar", "optical"]
SENSORS: tuple[Sensor, ...] = ("sar", "optical")
SensorSet = Literal["both", "sar", "optical"]
SENSOR_SETS: tuple[SensorSet, ...] = ("both", "sar", "optical")
Unit = Literal["db", "reflectance", "dn"]
"""Units of model input: backscatter in dB, reflectance, or digital numbers (dn)."""

_UNIT_NAMES: dict[Unit, str] = {"db": "dB", "reflectance": "reflectance", "dn": "digital numbers"}
SarUnits = Literal["db", "linear", "amplitude"]
"""Units of stored radar values: backscatter in dB, its linear power, or the square root of the power."""

SAR_VALID = 1
OPTICAL_VALID = 2
VALIDITY_CODES: dict[SensorSet, int] = {"sar": SAR_VALID, "optical": OPTICAL_VALID, "both": SAR_VALID + OPTICAL_VALID}
"""Validity code of a pixel: the sum of the codes of the sensors that are valid there, 0 for none."""

SAR_BANDS: tuple[str, ...] = ("VV", "VH")
"""Sentinel-1 polarisations, in the order that is assumed for two bands without names."""

L1C_BANDS: tuple[str, ...] = (
    "B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B10", "B11", "B12",
)  # fmt: skip
"""Sentinel-2 level 1C (top of atmosphere), in the order that is assumed for 13 bands without names."""

L2A_BANDS: tuple[str, ...] = tuple(band for band in L1C_BANDS if band != "B10")
"""Sentinel-2 level 2A (surface; no cirrus band B10), in the order that is assumed for 12 bands without names."""

WAVELENGTHS: dict[str, float] = dict(
    zip(
        L1C_BANDS,
        (0.443, 0.492, 0.560, 0.665, 0.704, 0.741, 0.783, 0.833, 0.865, 0.945, 1.373, 1.614, 2.202),
        strict=True,
    )
)
"""Central wavelength of each Sentinel-2 band in micrometres."""

ProductLevel = Literal["L1C", "L2A"]
"""Level of an optical product: reflectance at the top of the atmosphere, or at the surface."""

_LEVEL = re.compile(r"(L1C)|(L2A|L2S[PR]|HLS|SR_B(?:AND)?_?\d{1,2})(?![A-Za-z0-9])", re.IGNORECASE)
"""Levels in names of files and bands; Landsat level 2 (``SR_B5``) and HLS are reflectance at the surface, too."""

DATES: tuple[str, ...] = ("before", "after")
"""Suffixes of the band names of two-date data: ``VV_before``, ``B03_after``."""

OMBRIA_OPTICAL_BANDS = ("B11", "B08", "B03")
"""Bands in the red, green and blue channels of OMBRIA's optical files."""

REFLECTANCE_SCALE = 10_000.0
"""Factor of reflectance in Sentinel-2 files."""

HIGHEST_SCENE_CLASS = 11
"""Highest code of the Sentinel-2 scene classification (SCL)."""

QA60_VALUES = (0, 1024, 2048, 3072)
"""Values of the Sentinel-2 band QA60: sums of its bits for opaque clouds and cirrus."""

_COLOUR_NAMES = {
    "coastal": "B01", "blue": "B02", "green": "B03", "red": "B04", "rededge1": "B05", "rededge2": "B06",
    "rededge3": "B07", "nir": "B08", "nir08": "B8A", "nir09": "B09", "cirrus": "B10", "swir16": "B11",
    "swir22": "B12", "nirbroad": "B08", "nirnarrow": "B8A", "swir1": "B11", "swir2": "B12",
}  # fmt: skip
"""Band of each colour name of STAC and HLS, written without separators."""
Numbering = Literal["sentinel-2", "landsat-8", "landsat-4"]
"""Meaning of optical band numbers: Sentinel-2, Landsat 8 and 9 (also HLS L30), or Landsat 4 to 7."""

LANDSAT_BANDS: dict[Numbering, dict[str, str]] = {
    "landsat-8": {
        "B01": "B01", "B02": "B02", "B03": "B03", "B04": "B04", "B05": "B8A", "B06": "B11", "B07": "B12", "B09": "B10",
    },
    "landsat-4": {"B01": "B02", "B02": "B03", "B03": "B04", "B04": "B08", "B05": "B11", "B07": "B12"},
}  # fmt: skip
"""Sentinel-2 band of about the same wavelengths by number of the Landsat band. Panchromatic and thermal bands have
none."""

_OPTICAL_PATTERN = re.compile(r"(?<![a-z0-9])(?:b|band)[ _-]?0?(\d{1,2})(a?)(?![a-z0-9])")
_NUMBER_AND_COLOUR = re.compile(r"(?:b|band)[ _-]?0?\d{1,2}[ _:()-]+([a-z0-9]+)\)?")
_SAR_PATTERN = re.compile(r"(?<![a-z])(vv|vh)(?:db)?(?![a-z])")
_MASK_NAMES = ("datamask", "data_mask", "data mask", "alpha")
_OTHER_WORDS = frozenset({
    "angle", "coh", "coherence", "count", "diff", "difference", "hh", "hv", "inc", "incidence", "incidenceangle",
    "lia", "localincidenceangle", "lut", "mask", "nesz", "phase", "qa", "qa10", "qa20", "qa60", "ratio", "scl", "std",
    "stddev", "stdev", "var", "variance",
})  # fmt: skip
"""Words that mark a name as that of another quantity, even beside a band name: ``VV_stdDev``, ``coherence_VV``."""

MASK = "mask"
"""Identity of a band that is 0 where a file holds no data: ``dataMask``, ``alpha``."""
OTHER = "other"
"""Identity of a known band that measures something else: a ratio, an angle, another polarisation, classes."""


def identify_band(text: str | None, sensor: Sensor, numbering: Numbering = "sentinel-2") -> str | None:
    """Return the identity of a band from its name or the name of its file.

    Understands ``VV``, ``Gamma0_VH_db``, ``B3``, ``B03``, ``Band 8A`` and the common colour names of STAC (``green``).
    A name with two bands (``VV/VH``) means a ratio or a difference. ``numbering`` is the meaning of optical band
    numbers.

    Returns:
        The canonical name of a band of the sensor, ``MASK``, ``OTHER``, or None if the name is none of these.
    """
    text = (text or "").strip().lower()
    if text in _MASK_NAMES:
        return MASK
    found = _polarisations(text) if sensor == "sar" else _optical_bands(text, numbering)
    if len(found) > 1 or names_other_quantity(text):
        return OTHER
    return next(iter(found), None)


def product_level(bands: Collection[str], names: Sequence[str] = ()) -> ProductLevel | None:
    """Return the level of an optical image, None if neither names nor bands show it.

    ``names`` are those of its files, and of its bands as the files hold them; they take precedence. Of Sentinel-2
    products, only L1C has the cirrus band B10; an image with all other bands is L2A. Files of HLS may hold B10, too,
    and L1C may be stored without it.
    """
    found = [match for name in names if (match := _LEVEL.search(PurePosixPath(name).name))]
    if found:
        return "L1C" if found[0][1] else "L2A"
    if "B10" in bands:
        return "L1C"
    return "L2A" if set(L2A_BANDS) <= set(bands) else None


def names_scene_classes(text: str | None) -> bool:
    """Return True if the name of a band or of its file is that of the Sentinel-2 scene classification (SCL)."""
    return "scl" in re.split(r"[^a-z0-9]+", (text or "").lower())


def names_other_quantity(text: str) -> bool:
    """Return True if a name contains a word for another quantity, such as an angle or HH."""
    return not _OTHER_WORDS.isdisjoint(re.split(r"[^a-z0-9]+", text.lower()))


def _polarisations(text: str) -> set[str]:
    return {match.upper() for match in _SAR_PATTERN.findall(text)}


def _optical_bands(text: str, numbering: Numbering) -> set[str]:
    if (name := re.sub(r"[ _-]+", "", text)) in _COLOUR_NAMES:
        return {_COLOUR_NAMES[name]}
    names = {
        f"B{int(number)}A" if suffix else f"B{int(number):02d}" for number, suffix in _OPTICAL_PATTERN.findall(text)
    }
    if numbering != "sentinel-2":
        names = {LANDSAT_BANDS[numbering].get(name, OTHER) for name in names}
    colour = _NUMBER_AND_COLOUR.fullmatch(text)
    if colour and colour[1] in _COLOUR_NAMES:
        # if the colour contradicts the number, the name stands for two bands and becomes OTHER
        names.add(_COLOUR_NAMES[colour[1]])
    return names.intersection((*L1C_BANDS, OTHER))


def canonical_band(text: str | None, sensor: Sensor) -> str | None:
    """Return the canonical name of a band from its name or that of its file, or None if it names no band."""
    band = identify_band(text, sensor)
    return None if band in (MASK, OTHER) else band


@cache
def band_date(band: str) -> str:
    """Return the date suffix of a band name (``before`` for ``VV_before``), or an empty string without a suffix."""
    _, separator, date = band.rpartition("_")
    return date if separator and date in DATES else ""


def source_bands(needed: Sequence[str], held: Container[str]) -> dict[str, str]:
    """Return the band of an image that each needed optical band is read from, without those that are missing.

    B8A, the narrow near infrared, stands in for B08 where B08 is missing and B8A itself is not needed.
    """
    stands_in = "B08" not in held and "B8A" in held and "B8A" not in needed
    sources = {band: "B8A" if band == "B08" and stands_in else band for band in needed}
    return {band: source for band, source in sources.items() if source in held}


def stand_in_note(sources: dict[str, str]) -> str | None:
    """Return the note on a band that stands in for another one (see ``source_bands``), or None if none does."""
    return "has no B08; B8A, the narrow near infrared, is read in its place" if sources.get("B08") == "B8A" else None


@dataclass(frozen=True, slots=True)
class Bands:
    """Ordered bands of a data set or a model, and their units. A missing sensor has no bands."""

    sar: tuple[str, ...]
    optical: tuple[str, ...]
    sar_unit: Unit = "db"
    optical_unit: Unit = "reflectance"

    def names(self, sensor: Sensor) -> tuple[str, ...]:
        """Return the bands of one sensor in order."""
        return self.sar if sensor == "sar" else self.optical

    def unit(self, sensor: Sensor) -> Unit:
        """Return the unit of one sensor."""
        return self.sar_unit if sensor == "sar" else self.optical_unit

    @property
    def sensors(self) -> tuple[Sensor, ...]:
        """The sensors that have bands, radar first."""
        return tuple(sensor for sensor in SENSORS if self.names(sensor))

    @property
    def sensor_set(self) -> SensorSet:
        """The sensors that have bands: ``both``, ``sar`` or ``optical``."""
        return "both" if len(self.sensors) == 2 else self.sensors[0]

    def only(self, sensor: Sensor) -> "Bands":
        """Return a copy without the bands of the other sensor."""
        return replace(self, optical=()) if sensor == "sar" else replace(self, sar=())

    def __str__(self) -> str:
        return (
            " and ".join(f"{', '.join(self.names(each))} in {_UNIT_NAMES[self.unit(each)]}" for each in self.sensors)
            or "no band"
        )


def bands_fit(needed: Bands, available: Bands, sensor: Sensor, *, exact: bool = False) -> bool:
    """Return True if the available bands of one sensor include the needed bands, in the same unit.

    With ``exact``, they must be the needed bands in the same order. This is needed where bands have no names and are
    read by order.
    """
    needed_names, available_names = needed.names(sensor), available.names(sensor)
    if needed_names and available_names and needed.unit(sensor) != available.unit(sensor):
        return False
    return needed_names == available_names if exact else set(needed_names) <= set(available_names)


@dataclass(frozen=True, slots=True)
class BandStatistics:
    """Statistics of one band over the valid pixels of a training split, in the band's unit (dB, reflectance or dn).

    ``low`` and ``high`` are the range of the training data, which is often clipped. A model clips its input to the same
    range.
    """

    mean: float
    std: float
    low: float
    high: float

    def __post_init__(self) -> None:
        if not self.std > 0 or not self.high > self.low:
            raise ConfigError(
                f"band statistics {self} are unusable: std must be above 0 and high above low; "
                "recompute them on a training split whose bands are not constant"
            )
