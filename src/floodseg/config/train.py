"""Settings of a training run: keys of the TOML run file, flags of ``floodseg train`` and Python arguments.

A run file is flat; its keys are the field names below (``batch_size = 4`` or ``batch-size = 4``). The dataclasses are
nested in code, and field names are unique across them.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Annotated, Literal, get_args, get_origin, get_type_hints

from cyclopts import Parameter

from floodseg.bands import SensorSet
from floodseg.config.base import Architecture, Layout, Precision, Settings, WholeNumber, require
from floodseg.errors import ConfigError
from floodseg.system.environment import allowed_cores

_PHYSICAL_FILES: tuple[Layout, ...] = ("sen1floods11", "folders")
_LAYOUTS_OF: dict[str, tuple[Layout, ...]] = {
    "data": ("sen1floods11", "ombria", "folders"),
    "sar_dir": ("folders",),
    "opt_dir": ("folders",),
    "mask_dir": ("folders",),
    "hold_out_event": ("sen1floods11",),
    "val_split": ("ombria", "folders"),
    "split_seed": ("ombria", "folders", "synthetic"),
    "sar_units": _PHYSICAL_FILES,
    "optical_offset": _PHYSICAL_FILES,
    "cache_gb": ("sen1floods11", "ombria", "folders"),
    "synthetic_chips": ("synthetic",),
    "synthetic_size": ("synthetic",),
}
"""Layouts in which a setting has an effect; it is refused in the others."""


def _listing(words: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(words[:-1]), words[-1])))


@dataclass(frozen=True)
class DataConfig(Settings):
    """Chips and the units of their values."""

    data: Path | None = None
    """Folder of the data set; by default the layout's folder in the data root that FLOODSEG_DATA names."""
    layout: Layout = "sen1floods11"
    """Organisation of the folder; 'synthetic' simulates chips and needs no folder."""
    sensors: SensorSet | None = None
    """Sensors to use; by default all that the data set holds."""
    sar_dir: Path = Path("S1Hand")
    """Layout folders: radar chips, relative to --data."""
    opt_dir: Path = Path("S2Hand")
    """Layout folders: optical chips, relative to --data; an absent or empty folder means radar only."""
    mask_dir: Path = Path("LabelHand")
    """Layout folders: label chips (0 land, 1 water, -1 or 255 ignored), relative to --data."""
    val_split: float = 0.2
    """Layouts ombria and folders: share of the training chips to use for validation. Events are kept together (ombria:
    blocks of 20 neighbouring numbers)."""
    split_seed: WholeNumber = 0
    """Layouts ombria, folders and synthetic: seed of the split or of the simulation. It is separate from --seed, so
    that runs with different seeds use the same chips."""
    hold_out_event: str | None = None
    """Layout sen1floods11: event to leave out of training and validation (Ghana, ...). Its chips form the split held-
    out, which is not used to train, to choose or to calibrate."""
    sar_units: Literal["db", "linear"] = "db"
    """Unit of the stored radar values; linear power is converted to dB."""
    optical_bands: tuple[str, ...] = ()
    """Names of the optical bands to use (B03, B8A, ...; B03_after, ... in layout ombria); by default all bands."""
    optical_offset: float | None = None
    """Offset in stored values, added before division by 10000 (-1000 for processing baseline 04.00 and later)."""
    cache_gb: float = 20.0
    """Largest size in gigabytes of the cache of decoded chips (in FLOODSEG_CACHE, else ~/.cache/floodseg). The least
    recently used chips are removed first. 0 turns the cache off."""
    synthetic_chips: WholeNumber = 64
    """Layout synthetic: number of simulated training chips; validation and test hold half as many each."""
    synthetic_size: WholeNumber = 256
    """Layout synthetic: height and width of a simulated chip in pixels."""

    def __post_init__(self) -> None:
        super().__post_init__()
        defaults = {entry.name: entry.default for entry in fields(self)}
        for name, layouts in _LAYOUTS_OF.items():
            value = getattr(self, name)
            if value != defaults[name] and self.layout not in layouts:
                raise ConfigError(
                    f"`{name}={value}`: has no effect with layout {self.layout}, only with "
                    f"{_listing(layouts)}; leave it out"
                )
        require(0 < self.val_split < 1, "val_split", self.val_split, "above 0 and below 1")
        require(self.split_seed >= 0, "split_seed", self.split_seed, "0 or more")
        offset = self.optical_offset
        require(offset is None or math.isfinite(offset), "optical_offset", offset, "a number")
        require(0 <= self.cache_gb < math.inf, "cache_gb", self.cache_gb, "0 or more")
        require(self.synthetic_chips >= 2, "synthetic_chips", self.synthetic_chips, "at least 2")
        require(self.synthetic_size >= 32, "synthetic_size", self.synthetic_size, "at least 32 pixels")


TRAIN_SPECIALISTS = "train"
"""Value of ``specialists`` that trains both of them first."""


@dataclass(frozen=True)
class ModelConfig(Settings):
    """Network and its initial weights."""

    model: Architecture = "efficient"
    """Architecture."""
    encoder: str | None = None
    """Encoder of 'efficient': resnet18, resnet34 (default), resnet50, efficientnet_b0, efficientnet_b1 or any other
    timm encoder with features_only support."""
    pretrained: str = "auto"
    """Initial encoder weights: auto (ImageNet if available, else random with a warning), required (ImageNet), none, or
    a file."""
    start_from: str | None = None
    """Trained model to fine-tune (shipped name, run folder or checkpoint). It must have the same architecture, encoder
    and bands. Training starts from its weights and normalisation; --pretrained is not used."""
    specialists: tuple[str, ...] = ()
    """Two single-sensor models, radar first (shipped names, run folders or checkpoints). They become part of a two-
    sensor model and answer where only their sensor is valid. 'train' trains them first with the same settings, in
    --out-dir."""
    context_prior: float | None = None
    """Strength from 0 to 1 of the context prior: the share of water around a pixel shifts its log-odds in prediction
    and evaluation. At 1 the shift is the log-odds of that share minus those of 12 %, limited to 4. The default is the
    value of the --start-from model (a resumed run keeps its value), else 0."""

    def __post_init__(self) -> None:
        super().__post_init__()
        given = " ".join(self.specialists)
        require(
            len(self.specialists) in (0, 2) or self.trains_specialists,
            "specialists", given, "train, or a model of radar alone and one of the optical image alone",
        )  # fmt: skip
        if self.specialists and self.model == "baseline":
            raise ConfigError(f"`specialists={given}`: has no effect with baseline, only with efficient and lite")
        if self.start_from is not None:
            require(self.start_from != "", "start_from", "''", "a shipped name, a run folder or a checkpoint")
            for flag, value, idle in (("pretrained", self.pretrained, ("auto", "none")), ("specialists", given, ("",))):
                if value not in idle:
                    raise ConfigError(
                        f"`{flag}={value}`: has no effect with `start_from`, which gives all weights; leave it out"
                    )
        strength = self.context_prior
        require(strength is None or 0 <= strength <= 1, "context_prior", strength, "from 0 to 1")

    @property
    def trains_specialists(self) -> bool:
        """True if the specialists are trained first."""
        return self.specialists == (TRAIN_SPECIALISTS,)


@dataclass(frozen=True)
class AugmentConfig(Settings):
    """Augmentation of training chips; every random draw depends only on seed, epoch and index."""

    crop_size: WholeNumber = 256
    """Height and width of training crops in pixels."""
    crops_per_chip: WholeNumber = 1
    """Crops per chip in an epoch."""
    crop_tries: WholeNumber = 4
    """Positions to try for a crop; the first with at least half of its pixels labelled is used, else the best one."""
    zoom: float = 1.0
    """Largest factor by which a crop is resampled to coarser or finer pixels (log-uniform), for water bodies and
    images of other scales; 1 turns it off. Where a resampled chip is smaller than the crop, the rest is invalid and
    ignored."""
    flips: bool = True
    """Apply one of the eight flips and rotations at random."""
    sar_jitter_db: float = 0.3
    """Standard deviation in dB of a random offset of both polarisations; each polarisation gets another offset of
    half of it. The default is about the radiometric accuracy of Sentinel-1. It does not apply to digital numbers
    (ombria)."""
    sar_speckle: float = 0.0
    """Probability of added speckle of 8 to 128 looks (gamma distributed per pixel), for products with less multilooking
    than the training data. It does not apply to digital numbers (layout ombria)."""
    optical_jitter: float = 0.1
    """Standard deviation of a random illumination factor, the same for all optical bands of a date."""
    drop_sensor: float = 0.0
    """Probability that one of two sensors is removed from a sample (each sensor half of the time)."""
    drop_sensor_ramp: WholeNumber = 0
    """Epochs over which the probability rises linearly to --drop-sensor; 0 applies it from the start."""
    cloud: float = 0.0
    """Probability that a simulated cloud covers part of the optical image (with two dates, of the later one)."""
    cloud_mask_quality: Literal["perfect", "thin-missed", "none", "mixed"] = "thin-missed"
    """Part of the simulated clouds that the cloud mask marks: clouds and shadows (perfect), opaque cloud only
    (thin-missed), nothing (none), or each of the three for a third of the clouds (mixed)."""
    swath_edge: float = 0.0
    """Probability that a simulated swath edge hides up to half of the image of one sensor, so that the model learns
    from pixels next to nodata."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.crop_size >= 32, "crop_size", self.crop_size, "at least 32 pixels")
        require(self.crops_per_chip >= 1, "crops_per_chip", self.crops_per_chip, "at least 1")
        require(self.crop_tries >= 1, "crop_tries", self.crop_tries, "at least 1")
        require(1 <= self.zoom <= 4, "zoom", self.zoom, "from 1 to 4")
        require(0 <= self.sar_jitter_db < math.inf, "sar_jitter_db", self.sar_jitter_db, "0 or more")
        require(0 <= self.sar_speckle <= 1, "sar_speckle", self.sar_speckle, "from 0 to 1")
        require(0 <= self.optical_jitter < 1, "optical_jitter", self.optical_jitter, "from 0 to below 1")
        require(0 <= self.drop_sensor <= 1, "drop_sensor", self.drop_sensor, "from 0 to 1")
        require(self.drop_sensor_ramp >= 0, "drop_sensor_ramp", self.drop_sensor_ramp, "0 or more")
        if self.drop_sensor == 0 and self.drop_sensor_ramp:
            raise ConfigError(f"`drop_sensor_ramp={self.drop_sensor_ramp}`: has no effect alone; add `drop_sensor=0.5`")
        require(0 <= self.cloud <= 1, "cloud", self.cloud, "from 0 to 1")
        require(0 <= self.swath_edge <= 1, "swath_edge", self.swath_edge, "from 0 to 1")
        if self.cloud == 0 and self.cloud_mask_quality != AugmentConfig.cloud_mask_quality:
            raise ConfigError(
                f"`cloud_mask_quality={self.cloud_mask_quality}`: has no effect without clouds; add `cloud=0.5`"
            )

    @property
    def leaves_cloud_unmasked(self) -> bool:
        """True if some simulated cloud covers pixels that stay valid."""
        return self.cloud > 0 and self.cloud_mask_quality != "perfect"


@dataclass(frozen=True)
class OptimConfig(Settings):
    """Loss, optimiser and schedule."""

    epochs: WholeNumber = 50
    """Passes over the training split; the learning-rate cycle has the same length."""
    batch_size: WholeNumber = 4
    """Crops per step and process."""
    lr: float = 1e-3
    """Peak of the one-cycle learning rate."""
    weight_decay: float = 0.01
    """AdamW weight decay."""
    loss: Literal["ce", "focal"] = "ce"
    """Pixel loss: cross entropy or focal loss (Lin et al. 2017)."""
    focal_gamma: float = 2.0
    """Focusing parameter of the focal loss."""
    dice_weight: float = 1.0
    """Weight of the Dice loss that is added to the pixel loss; 0 turns it off."""
    clip_norm: float = 1.0
    """Largest gradient norm, after unscaling."""
    ema: float = 0.0
    """Decay per step of an exponential moving average of the weights, which is evaluated and saved; 0 turns it off."""
    sync_batchnorm: bool = False
    """Synchronise batch statistics between the GPUs."""
    patience: WholeNumber = 10
    """Epochs without a better validation water IoU before training stops; 0 turns early stopping off."""
    precision: Precision = "auto"
    """Mixed precision. auto takes bf16 if the hardware has it, fp16 with loss scaling on older GPUs, else fp32."""
    seed: WholeNumber = 0
    """Seed of initial weights, sample order and augmentation."""
    workers: WholeNumber = field(default_factory=lambda: min(2, allowed_cores()))
    """Processes that load chips. Batches do not depend on their number."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.loss == "ce" and self.focal_gamma != OptimConfig.focal_gamma:
            raise ConfigError(f"`focal_gamma={self.focal_gamma}`: has no effect with `loss=ce`; add `loss=focal`")
        for name in ("epochs", "batch_size"):
            require(getattr(self, name) >= 1, name, getattr(self, name), "at least 1")
        for name in ("lr", "clip_norm"):
            value = getattr(self, name)
            require(value > 0 and math.isfinite(value), name, value, "above 0")
        for name in ("weight_decay", "dice_weight", "focal_gamma", "patience", "seed", "workers"):
            require(0 <= getattr(self, name) < math.inf, name, getattr(self, name), "0 or more")
        require(self.seed < 2**32, "seed", self.seed, "below 4294967296")
        require(0 <= self.ema < 1, "ema", self.ema, "from 0 to below 1")


@dataclass(frozen=True)
class DistilConfig(Settings):
    """Distillation from other models."""

    teacher: tuple[str, ...] = ()
    """Trained models (shipped names, run folders or checkpoints) whose calibrated probability is a soft target. At each
    pixel the models that use the most of the valid sensors count."""
    distil_weight: float = 1.0
    """Weight of the divergence from the teachers, which is added to the loss."""
    distil_unlabelled: bool = False
    """Learn from the teachers at unlabelled pixels as well."""

    def __post_init__(self) -> None:
        super().__post_init__()
        weight = self.distil_weight
        require(0 < weight < math.inf, "distil_weight", weight, "above 0")
        require(len(set(self.teacher)) == len(self.teacher), "teacher", " ".join(self.teacher), "different models")
        for name in ("distil_weight", "distil_unlabelled"):
            value = getattr(self, name)
            if not self.teacher and value != getattr(DistilConfig, name):
                raise ConfigError(f"`{name}={value}`: has no effect without a teacher; add `teacher=MODEL`")


_FLAT = Parameter(name="*")
"""Groups have no name on the command line and in a run file: their fields are flat."""


@dataclass(frozen=True)
class TrainConfig(Settings):
    """Settings of ``floodseg train``."""

    out_dir: Path = Path("runs/floodseg")
    """Run folder for configuration, metrics, pictures and checkpoints."""
    data: Annotated[DataConfig, _FLAT] = field(default_factory=DataConfig)
    model: Annotated[ModelConfig, _FLAT] = field(default_factory=ModelConfig)
    augment: Annotated[AugmentConfig, _FLAT] = field(default_factory=AugmentConfig)
    optim: Annotated[OptimConfig, _FLAT] = field(default_factory=OptimConfig)
    distil: Annotated[DistilConfig, _FLAT] = field(default_factory=DistilConfig)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.model.specialists and self.augment.drop_sensor:
            raise ConfigError(
                f"`drop_sensor={self.augment.drop_sensor}`: has no effect with `specialists`, which answer where a "
                "sensor is missing; leave one of both out"
            )


def text_settings() -> frozenset[str]:
    """Return the names of the settings whose value is a string or a path."""
    groups = (DataConfig, ModelConfig, AugmentConfig, OptimConfig, DistilConfig, TrainConfig)
    hints = (item for group in groups for item in get_type_hints(group).items())
    return frozenset(
        name for name, kind in hints if get_origin(kind) is not tuple and {kind, *get_args(kind)} & {str, Path}
    )
