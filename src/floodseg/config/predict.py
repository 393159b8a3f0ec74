"""Settings of ``floodseg predict``.

The dataclasses are nested in code. On the command line and in Python calls their fields are flat.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from floodseg.bands import SarUnits
from floodseg.config.base import Integer, Settings, require, require_setting
from floodseg.config.depth import DepthOptions
from floodseg.errors import ConfigError
from floodseg.system.environment import thread_limit

Files = tuple[str, ...]
"""GDAL names of one image: paths, ``/vsizip/...`` or URLs. Several names are its single-band files."""

IMAGES = ("sar", "optical", "sar_before", "optical_before")
"""Names of the settings that hold images, of one or several files each."""
LAYERS = ("cloud_mask", "aoi", "exclude", "dem", "permanent_water")
"""Names of the settings that hold layers, of one file each."""
CLOUD_METHODS = ("auto", "none", "csmask")
"""Values of ``cloud_mask`` that are no file."""

DEPENDENT_SETTINGS = {
    "dem": ("max_slope",),
    "depth": tuple(entry.name for entry in fields(DepthOptions)),
    "permanent_water": ("permanent_water_threshold",),
}
"""Settings that have no effect without another one, by that one."""


def layer_file(name: str, value: str | None) -> str | None:
    """Return the file of the setting ``name`` of ``LAYERS``; None if it is not set, or names a method."""
    return None if name == "cloud_mask" and value in CLOUD_METHODS else value


@dataclass(frozen=True)
class SceneImages(Settings):
    """Images of one scene."""

    sar: Files = ()
    """Sentinel-1 backscatter, VV and VH: one raster, or one file per polarisation."""
    optical: Files = ()
    """Reflectance of Sentinel-2, HLS or Landsat: one raster, one file per band, or a Sentinel-2 .SAFE folder or zip.
    Bands are found by name; B8A is used where B08 is missing."""
    sar_before: Files = ()
    """Radar image from before the flood, in the same form as --sar. Two-date models use it as input. Other models map
    it too, and its water counts as permanent water."""
    optical_before: Files = ()
    """Optical image from before the flood, in the same form as --optical, for two-date models."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in IMAGES:
            object.__setattr__(self, name, _files(name, getattr(self, name)))


@dataclass(frozen=True)
class SharedScene(DepthOptions):
    """Settings that can be shared by many scenes: units, layers, water depth and file access."""

    grid: Literal["sar", "optical"] = "sar"
    """Sensor whose pixel grid is used for the products. The other sensor is warped to it. A single sensor keeps its
    own grid."""
    sar_units: SarUnits = "db"
    """Unit of the stored radar values: dB, linear power, or amplitude (the square root of power). The last two are
    converted to dB."""
    optical_offset: float | None = None
    """Offset that is added to stored values before division by 10000: -1000 for processing baseline 04.00 and later, 0
    for older ones. By default GDAL's scale and offset tags or the product's metadata apply. Without them it is 0, and
    an image without dark pixels is refused, since its values may include an offset. The setting is refused for files
    with such tags."""
    cloud_mask: str = "auto"
    """Method that finds the clouds in the optical image. Pixels under cloud are mapped from the radar image, or are
    nodata without one. auto: the scene classification (SCL) of an L2A product; else the network csmask, if
    floodseg[clouds] is installed; else pixels as bright as cloud. csmask: the network. none: clouds are not hidden.
    FILE: a raster on any grid, used instead of the SCL of the product; pixels other than 0 are hidden, or, in a scene
    classification, those of the classes 0, 1, 3, 8, 9 and 10."""
    aoi: str | None = None
    """Area of interest: polygons (GeoPackage, GeoJSON, Shapefile, FlatGeobuf or KML). Nothing outside is mapped or
    counted; around it, only the context is read that the model and the search for clouds need."""
    exclude: str | None = None
    """Areas to mark as excluded in the map, such as radar shadow: polygons, or a raster that is not 0 in these
    areas. Its nodata pixels are not excluded."""
    dem: str | None = None
    """Elevation raster in metres, or in feet if its unit tag says so. Ground steeper than --max-slope is marked as
    excluded."""
    max_slope: float = 15.0
    """Steepest slope in degrees that is mapped. Needs --dem."""
    permanent_water: str | None = None
    """Permanent water: polygons, a mask of 0 and 1, or a raster with --permanent-water-threshold. Water elsewhere is
    mapped as flood."""
    permanent_water_threshold: float | None = None
    """Smallest raster value that counts as permanent water, for example 50 (percent) for JRC water occurrence. If
    it is at most 100, the raster is assumed to hold percentages or fractions, and values above 100 are nodata. Required
    for rasters other than masks of 0 and 1."""
    depth: bool = False
    """Compute the water depth from --dem, as floodseg depth does, and write it beside the map. Needs --dem."""
    datetime: str | None = None
    """Acquisition time (ISO 8601) for the STAC item. By default it is read from the tags or the name of the file."""
    allow_remote: bool = False
    """Allow files on the network (https://..., s3://..., /vsicurl/...)."""
    allow_no_crs: bool = False
    """Map a scene without a coordinate system. Its products have no location and no areas."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in LAYERS:
            files = _files(name, getattr(self, name))
            require(len(files) <= 1, name, " ".join(files), "one file")
            unset = "auto" if name == "cloud_mask" else None
            object.__setattr__(self, name, files[0] if files else unset)
        require(0 < self.max_slope < 90, "max_slope", self.max_slope, "above 0 and below 90 degrees")
        threshold, offset = self.permanent_water_threshold, self.optical_offset
        for name, number in (("permanent_water_threshold", threshold), ("optical_offset", offset)):
            require(number is None or math.isfinite(number), name, number, "a number")


@dataclass(frozen=True)
class SceneConfig(SharedScene, SceneImages):
    """Images, units and layers of one scene."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.depth and self.dem is None:
            raise ConfigError("`depth`: needs an elevation model; set `dem`")
        for needed, names in DEPENDENT_SETTINGS.items():
            require_setting(self, needed, *names)


def _files(setting: str, value: Any) -> Files:
    """Return file names as strings. Python callers may also pass a single name or path."""
    paths = () if value is None else (value,) if isinstance(value, str | Path) else value
    if not isinstance(paths, Sequence) or not all(isinstance(path, str | Path) for path in paths):
        raise ConfigError(f"`{setting}`: must be a path or a sequence of paths, not {type(value).__name__}")
    files = tuple(str(path) for path in paths)
    require(all(files), setting, "''", "the name of a file; it is empty")
    return files


@dataclass(frozen=True)
class MapConfig(Settings):
    """Windows, runtime and thresholds of mapping."""

    tile_size: Integer = 640
    """Side of a tile in pixels, a multiple of 64. The scene is mapped tile by tile. The input of the model, a window,
    is the tile with a border of half of --overlap on each side."""
    overlap: Integer | None = None
    """Width in pixels of the strip that neighbouring windows share, a multiple of 64. In the middle 32 pixels of the
    strip, both windows are blended; pixels closer to the border of a window are discarded. The default is wide enough
    that the map does not depend on --tile-size."""
    batch_size: Integer | None = None
    """Windows per model call. By default 1 on a CPU, and as many as fit on a GPU."""
    threads: Integer | None = None
    """Number of windows that are processed at the same time, one per thread. By default the number of cores."""
    runtime: Literal["auto", "torch", "onnx", "openvino"] = "auto"
    """Inference runtime. auto uses the fastest installed runtime that the model has a file for. Models without exported
    files run in PyTorch."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Device that runs the model. auto uses a GPU if PyTorch can use one, else the CPU."""
    precision: Literal["auto", "fp32", "bf16", "fp16", "int8"] = "auto"
    """Number format of the computation. auto uses the format of the exported file, or fp32 in PyTorch. fp16 needs a
    GPU, int8 an exported file."""
    tta: bool = False
    """Test-time augmentation: average the predictions of the eight combinations of flips and 90-degree rotations of
    each window. It takes eight times as long."""
    threshold: float | None = None
    """Smallest probability that counts as water, for all pixels. By default the model's own thresholds, one for radar,
    one for optical and one for both, which were chosen on its validation split."""
    min_area: float = 0.0
    """Smallest area in square metres of a connected patch of flood or of permanent water. Smaller patches become
    land."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.tile_size >= 64 and self.tile_size % 64 == 0, "tile_size", self.tile_size, "a multiple of 64")
        require(
            self.overlap is None or (self.overlap >= 0 and self.overlap % 64 == 0),
            "overlap", self.overlap, "0 or a multiple of 64",
        )  # fmt: skip
        if self.precision == "fp16" and (self.device == "cpu" or self.runtime in ("onnx", "openvino")):
            raise ConfigError("`precision=fp16`: needs PyTorch on a GPU; set `precision=bf16` or `precision=fp32`")
        if self.precision == "bf16" and self.runtime == "onnx":
            raise ConfigError(
                "`precision=bf16`: is not supported by ONNX Runtime on a CPU; set `runtime=openvino` or `runtime=torch`"
            )
        require(self.batch_size is None or self.batch_size >= 1, "batch_size", self.batch_size, "at least 1")
        require(self.threads is None or self.threads >= 1, "threads", self.threads, "at least 1")
        require(self.threshold is None or 0 < self.threshold < 1, "threshold", self.threshold, "above 0 and below 1")
        require(0 <= self.min_area < math.inf, "min_area", self.min_area, "0 or more")

    @property
    def thread_count(self) -> int:
        """Number of threads: ``threads``, else one per core that this process may use."""
        return self.threads or thread_limit()


@dataclass(frozen=True)
class PredictConfig(Settings):
    """Settings of ``floodseg predict``."""

    out_dir: Path = Path("flood")
    """Folder of the products."""
    scene: Annotated[SceneConfig, Parameter(name="*")] = field(default_factory=SceneConfig)
    mapping: Annotated[MapConfig, Parameter(name="*")] = field(default_factory=MapConfig)
