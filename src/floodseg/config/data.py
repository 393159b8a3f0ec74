"""Settings of the data set: flags and run-file keys of ``floodseg train`` and ``evaluate``, and Python arguments."""

import math
from dataclasses import dataclass, fields
from pathlib import Path

from floodseg.bands import SarUnits, SensorSet
from floodseg.config.base import Integer, Layout, Settings, require
from floodseg.errors import ConfigError
from floodseg.messages import enumeration

_LAYOUTS_IN_PHYSICAL_UNITS: tuple[Layout, ...] = ("sen1floods11", "folders")
_LAYOUTS_BY_SETTING: dict[str, tuple[Layout, ...]] = {
    "data": ("sen1floods11", "ombria", "folders"),
    "sar_dir": ("folders",),
    "opt_dir": ("folders",),
    "mask_dir": ("folders",),
    "hold_out_event": ("sen1floods11",),
    "val_split": ("ombria", "folders"),
    "split_seed": ("ombria", "folders", "synthetic"),
    "sar_units": _LAYOUTS_IN_PHYSICAL_UNITS,
    "optical_offset": _LAYOUTS_IN_PHYSICAL_UNITS,
    "cache_gb": ("sen1floods11", "ombria", "folders"),
    "synthetic_chips": ("synthetic",),
    "synthetic_size": ("synthetic",),
}
"""Layouts in which a setting has an effect. It is refused in other layouts. Settings not listed apply to all."""


@dataclass(frozen=True)
class DataConfig(Settings):
    """Data set, bands and units of the chips.

    Raises:
        ConfigError: a value is not allowed, or a setting has no effect with the layout.

    Example:
        >>> floodseg.DataConfig(data="chips", layout="folders", sensors="sar").data
        PosixPath('chips')
    """

    data: Path | None = None
    """Folder of the data set. By default the subfolder named after the layout in the folder that the environment
    variable FLOODSEG_DATA names."""
    layout: Layout = "sen1floods11"
    """Folder structure of the data set. 'synthetic' simulates chips and needs no folder."""
    sensors: SensorSet | None = None
    """Sensors to use. By default all sensors of the data set."""
    sar_dir: Path = Path("S1Hand")
    """Folder of the radar chips, relative to --data (layout folders). If it is missing or empty, only optical imagery
    is used."""
    opt_dir: Path = Path("S2Hand")
    """Folder of the optical chips, relative to --data (layout folders). If it is missing or empty, only radar is
    used."""
    mask_dir: Path = Path("LabelHand")
    """Folder of the labels (0 land, 1 water, -1 or 255 ignored), relative to --data (layout folders)."""
    val_split: float = 0.2
    """Share of the training chips to use for validation (layouts ombria and folders). Chips of one
    event are never divided between the splits; in layout ombria, nor are blocks of 20 consecutive numbers."""
    split_seed: Integer = 0
    """Seed of the validation split (layouts ombria and folders) or of the simulated chips (layout synthetic). It is
    separate from --seed of floodseg train, so that runs with different seeds use the same chips."""
    hold_out_event: str | None = None
    """Event, such as Ghana, to exclude from training, validation and calibration (layout sen1floods11). Its chips form
    the split 'held-out'."""
    sar_units: SarUnits = "db"
    """Unit of the stored radar values: dB, linear power, or amplitude (the square root of power). The last two are
    converted to dB."""
    optical_bands: tuple[str, ...] = ()
    """Names of the optical bands to use (B03, B8A, ...; B03_after, ... in layout ombria). By default all bands.
    B8A is used as B08 in chips without B08."""
    optical_offset: float | None = None
    """Offset that is added to stored values before division by 10000: -1000 for processing baseline 04.00 and later, 0
    for older ones. It applies to files without GDAL scale and offset tags; the tags always take precedence. By default
    it is 0 for files without tags, and a chip without dark pixels is refused, since it may include an offset."""
    cache_gb: float = 20.0
    """Largest size in GB of the cache of decoded chips. The cache is in ~/.cache/floodseg, or in the folder that the
    environment variable FLOODSEG_CACHE names. The least recently used chips are removed first. 0 turns the cache
    off."""
    synthetic_chips: Integer = 64
    """Number of simulated training chips (layout synthetic). Validation and test have half as many each."""
    synthetic_size: Integer = 256
    """Height and width of a simulated chip in pixels (layout synthetic)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        defaults = {entry.name: entry.default for entry in fields(self)}
        for name, layouts in _LAYOUTS_BY_SETTING.items():
            value = getattr(self, name)
            if value != defaults[name] and self.layout not in layouts:
                raise ConfigError(
                    f"`{name}={value}`: has no effect with layout {self.layout}, only with "
                    f"{enumeration(layouts)}; leave it out"
                )
        require(0 < self.val_split < 1, "val_split", self.val_split, "above 0 and below 1")
        require(self.split_seed >= 0, "split_seed", self.split_seed, "0 or more")
        offset = self.optical_offset
        require(offset is None or math.isfinite(offset), "optical_offset", offset, "a number")
        require(0 <= self.cache_gb < math.inf, "cache_gb", self.cache_gb, "0 or more")
        require(self.synthetic_chips >= 2, "synthetic_chips", self.synthetic_chips, "at least 2")
        require(self.synthetic_size >= 32, "synthetic_size", self.synthetic_size, "at least 32 pixels")
