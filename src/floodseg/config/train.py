"""Every setting, declared once: the TOML run file, the command-line flags and these dataclasses are the same thing.

A run file is flat, its keys are the field names below (``batch_size = 4`` or ``batch-size = 4``); ``floodseg train``
takes the same names as flags. The dataclasses are nested for readers; names are unique across them.
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
"""The layouts that follow a setting; elsewhere it would do nothing, so it is refused there."""


def _listing(words: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(words[:-1]), words[-1])))


@dataclass(frozen=True)
class DataConfig(Settings):
    """Which chips, and how their numbers are to be read."""

    data: Path | None = None
    """Folder of the data set; by default the layout's folder below the data root in FLOODSEG_DATA."""
    layout: Layout = "sen1floods11"
    """How the folder is organised; 'synthetic' simulates chips and needs no folder."""
    sensors: SensorSet | None = None
    """Sensors to use, which the data set must hold; by default every sensor that it holds."""
    sar_dir: Path = Path("S1Hand")
    """Layout folders: radar chips, relative to --data."""
    opt_dir: Path = Path("S2Hand")
    """Layout folders: optical chips, relative to --data; absent or empty means radar alone."""
    mask_dir: Path = Path("LabelHand")
    """Layout folders: label chips (0 land, 1 water, -1 or 255 ignored), relative to --data."""
    val_split: float = 0.2
    """Layouts ombria and folders: share of the training chips kept for validation, whole events (ombria: blocks of 20
    neighbouring numbers) at a time."""
    split_seed: WholeNumber = 0
    """Layouts ombria, folders and synthetic: seed of the split or the simulation, apart from that of training, so that
    runs compare."""
    hold_out_event: str | None = None
    """Layout sen1floods11: event that training and validation do without (Ghana, ...); its chips of both are then the
    split held-out, from which nothing was learned, chosen or calibrated."""
    sar_units: Literal["db", "linear"] = "db"
    """Unit of the stored radar values; linear power is converted to dB."""
    optical_bands: tuple[str, ...] = ()
    """Optical bands to use, by name (B03, B8A, ...; B03_after, ... of layout ombria); by default all that there are."""
    optical_offset: float | None = None
    """Offset in stored numbers, added before division by 10000 (-1000 for processing baseline 04.00 and later)."""
    cache_gb: float = 20.0
    """Most gigabytes that decoded chips may take in the cache folder (FLOODSEG_CACHE, else ~/.cache/floodseg), where
    later reads find them; those used longest ago make room. 0 decodes every file at each read."""
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
                    f"--{name.replace('_', '-')} {value}: has no effect with layout {self.layout}, only with "
                    f"{_listing(layouts)}; leave it out"
                )
        require(0 < self.val_split < 1, "val-split", self.val_split, "above 0 and below 1")
        require(self.split_seed >= 0, "split-seed", self.split_seed, "0 or more")
        offset = self.optical_offset
        require(offset is None or math.isfinite(offset), "optical-offset", offset, "a number")
        require(0 <= self.cache_gb < math.inf, "cache-gb", self.cache_gb, "0 or more")
        require(self.synthetic_chips >= 2, "synthetic-chips", self.synthetic_chips, "at least 2")
        require(self.synthetic_size >= 32, "synthetic-size", self.synthetic_size, "at least 32 pixels")


TRAIN_SPECIALISTS = "train"
"""In place of two models: train them."""


@dataclass(frozen=True)
class ModelConfig(Settings):
    """Which network, and what its encoder starts from."""

    model: Architecture = "efficient"
    """Architecture."""
    encoder: str | None = None
    """Encoder of 'efficient': resnet18, resnet34 (its default), resnet50, efficientnet_b0, efficientnet_b1 or any other
    timm features_only encoder."""
    pretrained: str = "auto"
    """Encoder weights: auto (ImageNet, else from scratch with a warning), required (ImageNet), none, or a file."""
    start_from: str | None = None
    """A trained model (shipped name, run folder, checkpoint) of the same architecture, encoder and bands, whose weights
    and normalisation training starts from, in place of --pretrained: to fine-tune it on other chips."""
    specialists: tuple[str, ...] = ()
    """A trained model of radar alone and one of the optical image alone (shipped names, run folders, checkpoints) that
    become part of a model of both, which then is exactly as good as they where it has one sensor only; 'train' trains
    them first, by the same settings, in --out-dir."""
    context_prior: float | None = None
    """How far the share of water that the model sees around a pixel moves the odds of that pixel, when it maps and is
    scored: 0 not at all, 1 by the logarithmic odds of that share less those of a usual place (12 %), at most by 4. By
    default as in the model of --start-from (a resumed run keeps what it took over), else 0."""

    def __post_init__(self) -> None:
        super().__post_init__()
        given = " ".join(self.specialists)
        require(
            len(self.specialists) in (0, 2) or self.trains_specialists,
            "specialists", given, "train, or a model of radar alone and one of the optical image alone",
        )  # fmt: skip
        if self.specialists and self.model == "baseline":
            raise ConfigError(f"--specialists {given}: has no effect with baseline, only with efficient and lite")
        if self.start_from is not None:
            require(self.start_from != "", "start-from", "''", "a shipped name, a run folder or a checkpoint")
            for flag, value, idle in (("pretrained", self.pretrained, ("auto", "none")), ("specialists", given, ("",))):
                if value not in idle:
                    raise ConfigError(
                        f"--{flag} {value}: has no effect with --start-from, which gives all weights; leave it out"
                    )
        strength = self.context_prior
        require(strength is None or 0 <= strength <= 1, "context-prior", strength, "from 0 to 1")

    @property
    def trains_specialists(self) -> bool:
        """Whether specialists are trained first."""
        return self.specialists == (TRAIN_SPECIALISTS,)


@dataclass(frozen=True)
class AugmentConfig(Settings):
    """What is done to a training chip; every draw is a function of seed, epoch and index alone."""

    crop_size: WholeNumber = 256
    """Height and width of training crops in pixels."""
    crops_per_chip: WholeNumber = 1
    """Crops taken of every chip in an epoch."""
    crop_tries: WholeNumber = 4
    """Positions drawn for a crop; the first with at least half of its pixels labelled is taken, else the best."""
    zoom: float = 1.0
    """Largest factor by which the pixels of a crop are made coarser or finer than those of the chip (evenly in its
    logarithm), for water bodies of other sizes and images of other pixel sizes; 1 leaves them as they are. Where a chip
    is smaller than the ground of a crop, the rest of the crop is invalid and ignored."""
    flips: bool = True
    """Draw one of the eight flips and rotations."""
    sar_jitter_db: float = 0.3
    """Standard deviation in dB of an offset common to both polarisations; each alone gets another of half of it. The
    default is about the radiometric accuracy of Sentinel-1. Digital numbers (layout ombria) are not jittered."""
    sar_speckle: float = 0.0
    """Probability that the radar is multiplied by more speckle, as of 8 to 128 looks (gamma distributed, pixel by
    pixel), for products that were averaged less than those trained on. Digital numbers (layout ombria) have none."""
    optical_jitter: float = 0.1
    """Standard deviation of a relative illumination factor common to all optical bands of a date."""
    drop_sensor: float = 0.0
    """Probability that one sensor is withheld from a sample that has both (each half of the time)."""
    drop_sensor_ramp: WholeNumber = 0
    """Epochs over which that probability rises, in equal steps, to --drop-sensor; 0 has it from the start."""
    cloud: float = 0.0
    """Probability that a simulated cloud covers part of the optical image, of two dates the later one."""
    cloud_mask_quality: Literal["perfect", "thin-missed", "none", "mixed"] = "thin-missed"
    """What is masked of simulated clouds: all with their shadows, opaque cloud alone, nothing, or each for a third of
    the clouds, so that the network learns to find what a mask misses."""
    swath_edge: float = 0.0
    """Probability that a straight edge, as of a swath, hides up to half of the image of one sensor. Chips are cut from
    within scenes: without it a model has hardly seen what lies beside nodata."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.crop_size >= 32, "crop-size", self.crop_size, "at least 32 pixels")
        require(self.crops_per_chip >= 1, "crops-per-chip", self.crops_per_chip, "at least 1")
        require(self.crop_tries >= 1, "crop-tries", self.crop_tries, "at least 1")
        require(1 <= self.zoom <= 4, "zoom", self.zoom, "from 1 to 4")
        require(0 <= self.sar_jitter_db < math.inf, "sar-jitter-db", self.sar_jitter_db, "0 or more")
        require(0 <= self.sar_speckle <= 1, "sar-speckle", self.sar_speckle, "from 0 to 1")
        require(0 <= self.optical_jitter < 1, "optical-jitter", self.optical_jitter, "from 0 to below 1")
        require(0 <= self.drop_sensor <= 1, "drop-sensor", self.drop_sensor, "from 0 to 1")
        require(self.drop_sensor_ramp >= 0, "drop-sensor-ramp", self.drop_sensor_ramp, "0 or more")
        if self.drop_sensor == 0 and self.drop_sensor_ramp:
            raise ConfigError(f"--drop-sensor-ramp {self.drop_sensor_ramp}: has no effect alone; add --drop-sensor 0.5")
        require(0 <= self.cloud <= 1, "cloud", self.cloud, "from 0 to 1")
        require(0 <= self.swath_edge <= 1, "swath-edge", self.swath_edge, "from 0 to 1")
        if self.cloud == 0 and self.cloud_mask_quality != AugmentConfig.cloud_mask_quality:
            raise ConfigError(
                f"--cloud-mask-quality {self.cloud_mask_quality}: has no effect without clouds; add --cloud 0.5"
            )

    @property
    def leaves_cloud_unmasked(self) -> bool:
        """Whether some simulated cloud lies over pixels that stay valid."""
        return self.cloud > 0 and self.cloud_mask_quality != "perfect"


@dataclass(frozen=True)
class OptimConfig(Settings):
    """Loss, optimiser and schedule."""

    epochs: WholeNumber = 50
    """Passes over the training split; the learning-rate cycle spans exactly these."""
    batch_size: WholeNumber = 4
    """Crops per step of each process."""
    lr: float = 1e-3
    """Peak of the one-cycle learning rate."""
    weight_decay: float = 0.01
    """AdamW weight decay."""
    loss: Literal["ce", "focal"] = "ce"
    """Pixel loss: cross entropy or focal loss (Lin et al. 2017)."""
    focal_gamma: float = 2.0
    """Focusing parameter of the focal loss."""
    dice_weight: float = 1.0
    """Weight of the Dice loss added to the pixel loss; 0 leaves it out."""
    clip_norm: float = 1.0
    """Largest gradient norm, measured after unscaling."""
    ema: float = 0.0
    """Decay per step of an exponential moving average of the weights, evaluated in their place; 0 is off."""
    sync_batchnorm: bool = False
    """Take batch statistics over the processes of all GPUs together, not of each alone."""
    patience: WholeNumber = 10
    """Epochs without a better validation water IoU after which training stops; 0 never stops early."""
    precision: Precision = "auto"
    """Mixed precision: auto takes bf16 where the hardware has it, fp16 with loss scaling on older GPUs, else fp32."""
    seed: WholeNumber = 0
    """Seed of initial weights, sample order and augmentation."""
    workers: WholeNumber = field(default_factory=lambda: min(2, allowed_cores()))
    """Processes that load chips; batches do not depend on their number."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.loss == "ce" and self.focal_gamma != OptimConfig.focal_gamma:
            raise ConfigError(f"--focal-gamma {self.focal_gamma}: has no effect with --loss ce; add --loss focal")
        for name in ("epochs", "batch_size"):
            require(getattr(self, name) >= 1, name.replace("_", "-"), getattr(self, name), "at least 1")
        for name in ("lr", "clip_norm"):
            value = getattr(self, name)
            require(value > 0 and math.isfinite(value), name.replace("_", "-"), value, "above 0")
        for name in ("weight_decay", "dice_weight", "focal_gamma", "patience", "seed", "workers"):
            require(0 <= getattr(self, name) < math.inf, name.replace("_", "-"), getattr(self, name), "0 or more")
        require(self.seed < 2**32, "seed", self.seed, "below 4294967296")
        require(0 <= self.ema < 1, "ema", self.ema, "from 0 to below 1")


@dataclass(frozen=True)
class DistilConfig(Settings):
    """What is learned from other models beside the labels."""

    teacher: tuple[str, ...] = ()
    """Trained models (shipped names, run folders, checkpoints) whose calibrated probability is a soft target; at each
    pixel those answer that see the most of what is valid there."""
    distil_weight: float = 1.0
    """Weight of the divergence from the teachers, added to the loss on the labels."""
    distil_unlabelled: bool = False
    """Learn from the teachers where there is no label, too."""

    def __post_init__(self) -> None:
        super().__post_init__()
        weight = self.distil_weight
        require(0 < weight < math.inf, "distil-weight", weight, "above 0")
        require(len(set(self.teacher)) == len(self.teacher), "teacher", " ".join(self.teacher), "different models")
        for name in ("distil_weight", "distil_unlabelled"):
            value = getattr(self, name)
            if not self.teacher and value != getattr(DistilConfig, name):
                raise ConfigError(
                    f"--{name.replace('_', '-')} {value}: has no effect without a teacher; add --teacher MODEL"
                )


_FLAT = Parameter(name="*")
"""On the command line and in a run file the groups do not appear: their fields stand side by side."""


@dataclass(frozen=True)
class TrainConfig(Settings):
    """One training run."""

    out_dir: Path = Path("runs/floodseg")
    """Run folder: configuration, metrics, pictures, checkpoints."""
    data: Annotated[DataConfig, _FLAT] = field(default_factory=DataConfig)
    model: Annotated[ModelConfig, _FLAT] = field(default_factory=ModelConfig)
    augment: Annotated[AugmentConfig, _FLAT] = field(default_factory=AugmentConfig)
    optim: Annotated[OptimConfig, _FLAT] = field(default_factory=OptimConfig)
    distil: Annotated[DistilConfig, _FLAT] = field(default_factory=DistilConfig)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.model.specialists and self.augment.drop_sensor:
            raise ConfigError(
                f"--drop-sensor {self.augment.drop_sensor}: has no effect with --specialists, which answer where a "
                "sensor is missing; leave one of both out"
            )


def text_settings() -> frozenset[str]:
    """Return the names of the settings that are a word or a path."""
    groups = (DataConfig, ModelConfig, AugmentConfig, OptimConfig, DistilConfig, TrainConfig)
    hints = (item for group in groups for item in get_type_hints(group).items())
    return frozenset(
        name for name, kind in hints if get_origin(kind) is not tuple and {kind, *get_args(kind)} & {str, Path}
    )
