"""Settings of mapping a scene: flags of ``floodseg predict`` and arguments of ``predict_scene``.

The dataclasses are nested in code and flat for users, as in :mod:`floodseg.config.train`.
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
"""Raster names as GDAL takes them: paths, ``/vsizip/...`` or URLs. Several are the single-band files of one image."""

IMAGES = ("sar", "optical", "sar_before", "optical_before")
LAYERS = ("cloud_mask", "aoi", "exclude", "dem", "permanent_water")
"""Settings of a scene that name files. An image may have several files, a layer has one."""


@dataclass(frozen=True)
class SceneImages(Settings):
    """The imagery of one scene."""

    sar: Files = ()
    """Sentinel-1 backscatter, VV and VH: one raster, or one file per polarisation."""
    optical: Files = ()
    """Sentinel-2 reflectance: one raster, one file per band, or a .SAFE folder or zip."""
    sar_before: Files = ()
    """Radar image from before the flood, in the same form as --sar. Two-date models take it as input. With other models
    it is mapped as well, and its water counts as permanent water."""
    optical_before: Files = ()
    """Optical image from before the flood, in the same form as --optical, for two-date models."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in IMAGES:
            object.__setattr__(self, name, _files(name, getattr(self, name)))


@dataclass(frozen=True)
class SharedScene(Settings):
    """Settings that many scenes can share: units, layers and access."""

    grid: Literal["sar", "optical"] = "sar"
    """Sensor whose pixel grid the products have; the other sensor is warped to it. With one sensor, its own grid is
    used."""
    sar_units: Literal["db", "linear"] = "db"
    """Unit of the stored radar values; linear power is converted to dB."""
    optical_offset: float | None = None
    """Offset in stored numbers, added before division by 10000: -1000 for processing baseline 04.00 and later, 0 for
    older ones. By default that of GDAL's tags or the product's metadata, else 0 where the values allow it."""
    cloud_mask: str | None = None
    """Cloud mask: a raster on any grid; the optical image is ignored where it is not zero."""
    aoi: str | None = None
    """Area of interest: polygons (GeoPackage, GeoJSON, Shapefile, ...). Nothing outside is read, mapped or counted."""
    exclude: str | None = None
    """Raster (non-zero pixels) or polygons to mark as excluded in the map, such as radar shadow."""
    dem: str | None = None
    """Elevation raster in metres; slopes above --max-slope are marked as excluded in the map."""
    max_slope: float = 15.0
    """Steepest slope in degrees that is mapped; needs --dem."""
    permanent_water: str | None = None
    """Raster or polygons of permanent water; water elsewhere is flood."""
    permanent_water_threshold: float | None = None
    """Smallest raster value that counts as permanent water, for example 50 (percent) for JRC water occurrence. Needed
    for a raster with values other than 0 and 1; in a mask of 0 and 1 every 1 is permanent water."""
    datetime: str | None = None
    """Acquisition time (ISO 8601) for the STAC item; by default read from the file's tags or its name."""
    allow_remote: bool = False
    """Allow files on the network (https://..., s3://..., /vsicurl/...)."""
    allow_no_crs: bool = False
    """Map a scene without a coordinate system. Its products have no location and no areas."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in LAYERS:
            files = _files(name, getattr(self, name))
            require(len(files) <= 1, name, " ".join(files), "one file")
            object.__setattr__(self, name, files[0] if files else None)
        require(0 < self.max_slope < 90, "max_slope", self.max_slope, "above 0 and below 90 degrees")
        if self.max_slope != SceneConfig.max_slope:
            require(
                self.dem is not None, "max_slope", self.max_slope, "given with `dem`, without which it does nothing"
            )
        if self.permanent_water_threshold is not None:
            given = self.permanent_water_threshold
            require(math.isfinite(given), "permanent_water_threshold", given, "a number")
            require(
                self.permanent_water is not None, "permanent_water_threshold", given, "given with `permanent_water`"
            )
        offset = self.optical_offset
        require(offset is None or math.isfinite(offset), "optical_offset", offset, "a number")


@dataclass(frozen=True)
class SceneConfig(SharedScene, SceneImages):
    """Images, units and layers of one scene."""


def _files(name: str, given: Any) -> Files:
    """Return file names as strings; Python callers may pass a single name or path."""
    alone = () if given is None else (given,) if isinstance(given, str | Path) else given
    if not isinstance(alone, Sequence) or not all(isinstance(file, str | Path) for file in alone):
        raise ConfigError(f"`{name}`: must be a path or several, and {type(given).__name__} is given")
    files = tuple(str(file) for file in alone)
    require(all(files), name, "''", "the name of a file; it is empty")
    return files


@dataclass(frozen=True)
class MapConfig(Settings):
    """Windows, runtime and thresholds of mapping."""

    tile_size: WholeNumber = 640
    """Side in pixels of the area that each window contributes, a multiple of 64. The model sees half of --overlap more
    on each side."""
    overlap: WholeNumber | None = None
    """Pixels that neighbouring windows share, a multiple of 64. The middle 32 are blended; pixels nearer to a window's
    border are discarded. The default is what the model needs for a map that does not depend on --tile-size."""
    batch_size: WholeNumber | None = None
    """Windows per model call; by default 1 on a CPU and as many as fit on a GPU."""
    threads: WholeNumber | None = None
    """Windows read and mapped at the same time, one thread each; by default one per core (in predict-many, per core of
    the worker)."""
    runtime: Literal["auto", "torch", "onnx", "openvino"] = "auto"
    """Inference runtime. auto takes the fastest that is installed and that the model has a file for; a model without
    exported files runs in PyTorch."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Device that runs the model. auto takes a GPU if PyTorch can use one, else the CPU."""
    precision: Literal["auto", "fp32", "bf16", "fp16", "int8"] = "auto"
    """Number format. auto takes the format of the exported file, or fp32 in PyTorch. fp16 needs a GPU, int8 an exported
    file."""
    tta: bool = False
    """Test-time augmentation: average the eight flips and rotations of each window, at eight times the cost."""
    threshold: float | None = None
    """Smallest probability that counts as water, for all sensors; by default the threshold that was chosen on the
    model's validation split."""
    min_area: float = 0.0
    """Smallest area in square metres of a connected patch of flood or of permanent water; smaller patches become
    land."""
    write_sensor_weights: Annotated[bool, Parameter(name=("--write-sensor-weights", "--write-reliability"))] = False
    """Also write sensor_weights.tif: the weight of the optical image at each pixel, for models that fuse two sensors by
    weights. The scene is read a second time."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.tile_size >= 64 and self.tile_size % 64 == 0, "tile_size", self.tile_size, "a multiple of 64")
        require(
            self.overlap is None or (self.overlap >= 0 and self.overlap % 64 == 0),
            "overlap", self.overlap, "0 or a multiple of 64",
        )  # fmt: skip
        if self.precision == "fp16" and (self.device == "cpu" or self.runtime in ("onnx", "openvino")):
            raise ConfigError("`precision=fp16`: is for PyTorch on a GPU; give bf16 or fp32 on a CPU")
        if self.precision == "bf16" and self.runtime == "onnx":
            raise ConfigError(
                "`precision=bf16`: ONNX Runtime computes no bf16 on a CPU; give `runtime=openvino` or torch"
            )
        require(self.batch_size is None or self.batch_size >= 1, "batch_size", self.batch_size, "at least 1")
        require(self.threads is None or self.threads >= 1, "threads", self.threads, "at least 1")
        require(self.threshold is None or 0 < self.threshold < 1, "threshold", self.threshold, "above 0 and below 1")
        require(0 <= self.min_area < math.inf, "min_area", self.min_area, "0 or more")

    @property
    def thread_count(self) -> int:
        """Number of threads in use: ``threads``, else one per core that this process may use."""
        return self.threads or usable_cores()


@dataclass(frozen=True)
class PredictConfig(Settings):
    """Settings of ``floodseg predict``."""

    out_dir: Path = Path("flood")
    """Folder of the products."""
    scene: Annotated[SceneConfig, Parameter(name="*")] = field(default_factory=SceneConfig)
    mapping: Annotated[MapConfig, Parameter(name="*")] = field(default_factory=MapConfig)
