"""Every setting of mapping a scene, declared once: flags of ``floodseg predict`` and arguments of ``predict_scene``.

Nested for readers, flat for users, as in :mod:`floodseg.config.train`.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from floodseg.config.base import Settings, WholeNumber, require
from floodseg.errors import ConfigError
from floodseg.system.environment import usable_cores

Files = tuple[str, ...]
"""Rasters as GDAL names them: a path, ``/vsizip/...`` or an address; several are the single-band files of one image."""

IMAGES = ("sar", "optical", "sar_before", "optical_before")
LAYERS = ("cloud_mask", "aoi", "exclude", "dem", "permanent_water")
"""Settings of a scene that name files: several of one image, or one."""


@dataclass(frozen=True)
class SceneImages(Settings):
    """The imagery of one scene."""

    sar: Files = ()
    """Sentinel-1 backscatter, VV and VH: one raster, or one file per polarisation."""
    optical: Files = ()
    """Sentinel-2 reflectance: one raster, one file per band, or a .SAFE folder or zip."""
    sar_before: Files = ()
    """Radar of before the flood, as --sar: an input of two-date models; else mapped too, and what was water then is
    permanent water."""
    optical_before: Files = ()
    """Optical image of before the flood, as --optical: an input of two-date models."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in IMAGES:
            object.__setattr__(self, name, _files(name, getattr(self, name)))


@dataclass(frozen=True)
class SharedScene(Settings):
    """What many scenes may have in common: how their numbers are to be read, and what is laid over them."""

    grid: Literal["sar", "optical"] = "sar"
    """Whose pixel grid the products have; the other sensor is warped to it. A lone sensor gives its own."""
    sar_units: Literal["db", "linear"] = "db"
    """Unit of the stored radar values; linear power is converted to dB."""
    optical_offset: float | None = None
    """Offset in stored numbers, added before division by 10000: -1000 for processing baseline 04.00 and later, 0 for
    older ones. By default that of GDAL's tags or the product's metadata, else 0 where the values allow it."""
    cloud_mask: str | None = None
    """Raster whose non-zero pixels hide the ground from the optical sensor, on any grid."""
    aoi: str | None = None
    """Polygons (GeoPackage, GeoJSON, Shapefile, ...) outside of which nothing is read, mapped or counted."""
    exclude: str | None = None
    """Raster (non-zero) or polygons where the result is 'excluded', such as radar shadow."""
    dem: str | None = None
    """Elevation raster in metres; where slopes exceed --max-slope the result is 'excluded'."""
    max_slope: float = 15.0
    """Steepest slope in degrees that is mapped, where --dem is given."""
    permanent_water: str | None = None
    """Raster or polygons of water that is always there; flood is water elsewhere."""
    permanent_water_threshold: float | None = None
    """Permanent water is where the raster reaches this number: percent of JRC occurrence, say. By default every
    non-zero pixel of a mask; a raster with other values than 0 and 1 needs it."""
    datetime: str | None = None
    """When the scene was taken (ISO 8601), for the STAC item; by default from the file or its name."""
    allow_remote: bool = False
    """Read addresses (https://..., s3://..., /vsicurl/...)."""
    allow_no_crs: bool = False
    """Map a scene without a coordinate system: its products have no place on the Earth and no areas."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in LAYERS:
            files = _files(name, getattr(self, name))
            require(len(files) <= 1, name.replace("_", "-"), " ".join(files), "one file")
            object.__setattr__(self, name, files[0] if files else None)
        require(0 < self.max_slope < 90, "max-slope", self.max_slope, "above 0 and below 90 degrees")
        if self.max_slope != SceneConfig.max_slope:
            require(
                self.dem is not None, "max-slope", self.max_slope, "given with --dem, without which it does nothing"
            )
        if self.permanent_water_threshold is not None:
            given = self.permanent_water_threshold
            require(math.isfinite(given), "permanent-water-threshold", given, "a number")
            require(
                self.permanent_water is not None, "permanent-water-threshold", given, "given with --permanent-water"
            )
        offset = self.optical_offset
        require(offset is None or math.isfinite(offset), "optical-offset", offset, "a number")


@dataclass(frozen=True)
class SceneConfig(SharedScene, SceneImages):
    """Which scene, and how its numbers are to be read."""


def _files(name: str, given: Any) -> Files:
    """Return names of files as strings; from Python one may be given alone, and as a path."""
    alone = () if given is None else (given,) if isinstance(given, str | Path) else given
    if not isinstance(alone, Sequence) or not all(isinstance(file, str | Path) for file in alone):
        raise ConfigError(f"--{name.replace('_', '-')}: must be a path or several, and {type(given).__name__} is given")
    files = tuple(str(file) for file in alone)
    require(all(files), name.replace("_", "-"), "''", "the name of a file; it is empty")
    return files


@dataclass(frozen=True)
class MapConfig(Settings):
    """How a model is moved over a scene, and what becomes of its probability."""

    tile_size: WholeNumber = 640
    """Pixels a side that each window decides, a multiple of 64; the model sees half of --overlap more all around."""
    overlap: WholeNumber | None = None
    """Pixels that neighbouring windows share, a multiple of 64: over the 32 in their middle one window fades into the
    next, what lies nearer to a window's border is not used. By default what the model needs for a result that does not
    depend on the tile size."""
    batch_size: WholeNumber | None = None
    """Windows per call of the model; by default one on a CPU, and what fits on a GPU."""
    threads: WholeNumber | None = None
    """Windows that are read and mapped at the same time, each on one thread; by default one for each core (of
    predict-many: of the worker)."""
    runtime: Literal["auto", "torch", "onnx", "openvino"] = "auto"
    """What runs the model: auto takes the fastest that is installed and that the model has a file for; a model without
    exported files runs in torch."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where the model runs: auto takes a GPU that PyTorch can use, where there is one."""
    precision: Literal["auto", "fp32", "bf16", "fp16", "int8"] = "auto"
    """Number format: auto takes that of the exported file, fp32 in torch. fp16 needs a GPU, int8 an exported file."""
    tta: bool = False
    """Average the eight flips and rotations of each window: eight times the work."""
    threshold: float | None = None
    """Water from this probability on, for all sensors; by default what the model chose on its validation split."""
    min_area: float = 0.0
    """Square metres below which a connected patch of flood, or of permanent water, becomes land."""
    write_reliability: bool = False
    """Write reliability.tif, too: how far the optical image is believed at each pixel, for models that weigh it against
    the radar. The scene is read once more for it."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.tile_size >= 64 and self.tile_size % 64 == 0, "tile-size", self.tile_size, "a multiple of 64")
        require(
            self.overlap is None or (self.overlap >= 0 and self.overlap % 64 == 0),
            "overlap", self.overlap, "0 or a multiple of 64",
        )  # fmt: skip
        if self.precision == "fp16" and (self.device == "cpu" or self.runtime in ("onnx", "openvino")):
            raise ConfigError("--precision fp16: is for PyTorch on a GPU; give bf16 or fp32 on a CPU")
        if self.precision == "bf16" and self.runtime == "onnx":
            raise ConfigError(
                "--precision bf16: ONNX Runtime computes no bf16 on a CPU; give --runtime openvino or torch"
            )
        require(self.batch_size is None or self.batch_size >= 1, "batch-size", self.batch_size, "at least 1")
        require(self.threads is None or self.threads >= 1, "threads", self.threads, "at least 1")
        require(self.threshold is None or 0 < self.threshold < 1, "threshold", self.threshold, "above 0 and below 1")
        require(0 <= self.min_area < math.inf, "min-area", self.min_area, "0 or more")

    @property
    def thread_count(self) -> int:
        """The threads that are used: those asked for, else one for each core that this process may use."""
        return self.threads or usable_cores()


@dataclass(frozen=True)
class PredictConfig(Settings):
    """One scene mapped by one model."""

    out_dir: Path = Path("flood")
    """Folder of the products."""
    scene: Annotated[SceneConfig, Parameter(name="*")] = field(default_factory=SceneConfig)
    mapping: Annotated[MapConfig, Parameter(name="*")] = field(default_factory=MapConfig)
