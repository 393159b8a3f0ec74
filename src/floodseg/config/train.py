"""Settings of ``floodseg train``: flags, keys of the TOML run file and Python arguments.

The dataclasses are nested in code. A run file is flat: its keys are the field names, which are unique across the
dataclasses (``batch_size = 4`` or ``batch-size = 4``).
"""

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from floodseg.config.base import (
    Architecture,
    CloudMaskQuality,
    Integer,
    Precision,
    Settings,
    require,
    require_setting,
)
from floodseg.config.data import DataConfig
from floodseg.errors import ConfigError
from floodseg.system.environment import affinity_cores

TRAIN_SPECIALISTS = "train"
"""Value of ``specialists`` with which the run first trains both specialists."""


@dataclass(frozen=True)
class ModelConfig(Settings):
    """Architecture and initial weights.

    Raises:
        ConfigError: a value is not allowed, or a setting has no effect with ``start_from``.

    Example:
        >>> floodseg.ModelConfig("lite", start_from="s1-lite").pretrained
        'auto'
    """

    model: Architecture = "efficient"
    """Architecture: efficient (pretrained encoder), lite (smallest), spectral (six optical bands) or baseline (large
    reference). See floodseg models."""
    encoder: str | None = None
    """Encoder of 'efficient': resnet18, resnet34 (default), resnet50, efficientnet_b0, efficientnet_b1, or any timm
    encoder with features_only support."""
    pretrained: str = "auto"
    """Initial encoder weights: auto (ImageNet if available, else random weights and a warning), required (ImageNet, or
    an error), none (random), or a file."""
    start_from: str | None = None
    """Trained model to fine-tune: a shipped model, run folder or checkpoint of the same architecture, encoder and
    bands. Training starts from its weights and normalisation; --pretrained is not used."""
    specialists: tuple[str, ...] = ()
    """Two single-sensor models to include in a multi-sensor model: shipped models, run folders or checkpoints, radar
    first. Each maps the pixels where only its sensor is valid. The trained model maps those where both are valid. With
    the value 'train', both are trained first, with the same settings, in subfolders of --out-dir."""
    context_prior: float | None = None
    """Strength of the context prior, from 0 (off) to 1: a pixel with much water around it is more likely to be water.
    In prediction and evaluation, strength * (a - b) is added to the log-odds of a pixel, where a are the log-odds of
    the water share around it, and b those of a typical share (12 %). a - b is limited to -4 to 4. By default the value
    of the --start-from model or of the resumed run, else 0."""

    def __post_init__(self) -> None:
        super().__post_init__()
        specialists = " ".join(self.specialists)
        require(
            len(self.specialists) in (0, 2) or self.trains_specialists,
            "specialists", specialists, "'train', or a radar model and an optical model",
        )  # fmt: skip
        if self.start_from is not None:
            require(self.start_from != "", "start_from", "''", "a shipped model, a run folder or a checkpoint")
            unused = (("pretrained", self.pretrained, ("auto", "none")), ("specialists", specialists, ("",)))
            for setting, value, allowed in unused:
                if value not in allowed:
                    raise ConfigError(
                        f"`{setting}={value}`: has no effect with `start_from`, which sets all weights; leave it out"
                    )
        strength = self.context_prior
        require(strength is None or 0 <= strength <= 1, "context_prior", strength, "from 0 to 1")

    @property
    def trains_specialists(self) -> bool:
        """True if the run trains the specialists first."""
        return self.specialists == (TRAIN_SPECIALISTS,)


@dataclass(frozen=True)
class AugmentConfig(Settings):
    """Augmentation of training chips. Random numbers depend only on seed, epoch and index of the crop.

    Raises:
        ConfigError: a value is not allowed, or a setting has no effect without another one.

    Example:
        >>> floodseg.AugmentConfig(crop_size=128, flips=False).sar_jitter_db
        0.3
    """

    crop_size: Integer = 256
    """Height and width of training crops in pixels."""
    crops_per_chip: Integer = 1
    """Crops per chip and epoch."""
    crop_tries: Integer = 4
    """Random positions to try for a crop. The first one with labels on at least half of its pixels is used, else the
    one with the most labels."""
    zoom: float = 1.0
    """Largest factor by which a crop is resampled to coarser or finer pixels, so that the model learns from water
    bodies of other sizes. The factor is drawn log-uniformly between 1/zoom and zoom. 1 turns it off. If the resampled
    chip is smaller than the crop, the remaining pixels are invalid and ignored."""
    flips: bool = True
    """Apply one of the eight combinations of flips and 90-degree rotations at random."""
    sar_jitter_db: float = 0.3
    """Standard deviation in dB of a random offset of the radar values. Each polarisation gets a second offset with half
    of this standard deviation. The default is about the radiometric accuracy of Sentinel-1. Not applied to layout
    ombria, whose values are not in dB."""
    sar_speckle: float = 0.0
    """Probability of simulated speckle of 8 to 128 looks (gamma distributed), for radar products with less multilooking
    than the training data. Not applied to layout ombria, whose values are not in dB."""
    optical_jitter: float = 0.1
    """Standard deviation of a random brightness factor, the same for all optical bands of a date."""
    optical_level: float = 0.0
    """Probability of a simulated change of the processing level of Sentinel-2 between top of atmosphere (L1C) and
    surface (L2A): path radiance that falls with wavelength is added or removed. Refused for layout ombria, whose
    values are not reflectance."""
    optical_shadow: float = 0.0
    """Probability of simulated shadows of clouds, terrain or buildings in the optical image. Labels do not change, so
    that the model learns to tell shadow from water. Refused for layout ombria, whose values are not reflectance."""
    drop_sensor: float = 0.0
    """Probability that one of the two sensors is removed from a sample. Both sensors are equally likely."""
    drop_sensor_ramp: Integer = 0
    """Number of epochs in which the probability rises linearly from 0 to --drop-sensor. With 0, the full probability
    applies from the start."""
    cloud: float = 0.0
    """Probability that a simulated cloud covers part of the optical image. With two dates, it covers the later one."""
    cloud_mask_quality: Literal[CloudMaskQuality, "mixed"] = "thin-missed"
    """Simulated cloud mask: it marks clouds and shadows (perfect), opaque clouds only (thin-missed), or nothing (none).
    'mixed' uses each of the three for a third of the clouds."""
    swath_edge: float = 0.0
    """Probability that a simulated swath edge hides up to half of the image of one sensor. The model thus learns from
    pixels next to nodata."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.crop_size >= 32, "crop_size", self.crop_size, "at least 32 pixels")
        for name in ("crops_per_chip", "crop_tries"):
            require(getattr(self, name) >= 1, name, getattr(self, name), "at least 1")
        require(1 <= self.zoom <= 4, "zoom", self.zoom, "from 1 to 4")
        require(0 <= self.sar_jitter_db < math.inf, "sar_jitter_db", self.sar_jitter_db, "0 or more")
        require(0 <= self.optical_jitter < 1, "optical_jitter", self.optical_jitter, "from 0 to below 1")
        for name in ("sar_speckle", "optical_level", "optical_shadow", "drop_sensor", "cloud", "swath_edge"):
            require(0 <= getattr(self, name) <= 1, name, getattr(self, name), "from 0 to 1")
        require(self.drop_sensor_ramp >= 0, "drop_sensor_ramp", self.drop_sensor_ramp, "0 or more")
        require_setting(self, "drop_sensor", "drop_sensor_ramp")
        require_setting(self, "cloud", "cloud_mask_quality")

    @property
    def leaves_cloud_unmasked(self) -> bool:
        """True if simulated clouds can cover pixels that the cloud mask does not mark."""
        return self.cloud > 0 and self.cloud_mask_quality != "perfect"


@dataclass(frozen=True)
class OptimConfig(Settings):
    """Loss, optimiser, schedule, precision, seed and worker processes.

    Raises:
        ConfigError: a value is not allowed, or a setting has no effect without another one.

    Example:
        >>> floodseg.OptimConfig(epochs=3, batch_size=8).lr
        0.001
    """

    epochs: Integer = 50
    """Passes over the training split. The learning rate schedule has the same length."""
    batch_size: Integer = 4
    """Crops per training step and process."""
    lr: float = 1e-3
    """Peak learning rate of the one-cycle schedule."""
    weight_decay: float = 0.01
    """AdamW weight decay."""
    loss: Literal["ce", "focal"] = "ce"
    """Pixel loss: cross entropy or focal loss (Lin et al. 2017)."""
    focal_gamma: float = 2.0
    """Focusing parameter of the focal loss."""
    dice_weight: float = 1.0
    """Weight of the Dice loss, which is added to the pixel loss. 0 turns it off."""
    clip_norm: float = 1.0
    """Largest gradient norm; larger gradients are scaled down to it."""
    ema: float = 0.0
    """Decay per step of an exponential moving average of the weights. The averaged weights are evaluated and saved. 0
    turns it off."""
    sync_batchnorm: bool = False
    """Synchronise batch normalisation statistics between GPUs."""
    patience: Integer = 10
    """Stop training after this number of epochs without a better water IoU on the validation split. 0 turns it off."""
    precision: Precision = "auto"
    """Number format of training. auto uses bf16 if the hardware supports it, fp16 with loss scaling on older GPUs, else
    fp32."""
    seed: Integer = 0
    """Seed of initial weights, sample order and augmentation."""
    workers: Integer = field(default_factory=lambda: min(2, affinity_cores()))
    """Number of worker processes that load chips. It does not change the batches."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.loss == "ce" and self.focal_gamma != OptimConfig.focal_gamma:
            raise ConfigError(
                f"`focal_gamma={self.focal_gamma}`: has no effect with `loss=ce`; leave it out, or set `loss=focal`"
            )
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
    """Knowledge distillation from trained models (Hinton et al. 2015)."""

    teacher: tuple[str, ...] = ()
    """Trained models (shipped models, run folders or checkpoints) whose calibrated probabilities are soft targets. The
    target of a pixel is the mean over the teachers with the most valid sensors there. Among these, teachers without a
    missing sensor take precedence over teachers with one."""
    distil_weight: float = 1.0
    """Weight of the Kullback-Leibler divergence from the teachers in the loss."""
    distil_unlabelled: bool = False
    """Let the model learn from the teachers at unlabelled pixels, too."""

    def __post_init__(self) -> None:
        super().__post_init__()
        weight = self.distil_weight
        require(0 < weight < math.inf, "distil_weight", weight, "above 0")
        require(len(set(self.teacher)) == len(self.teacher), "teacher", " ".join(self.teacher), "different models")
        require_setting(self, "teacher", "distil_weight", "distil_unlabelled")


_FLAT = Parameter(name="*")
"""Parameter without a name of its own. Only its fields are flags and run-file keys."""


@dataclass(frozen=True)
class TrainConfig(Settings):
    """Settings of ``floodseg train``.

    Raises:
        ConfigError: a value is not allowed, or two settings exclude each other.

    Example:
        >>> config = floodseg.TrainConfig(
        ...     out_dir="runs/small",
        ...     data=floodseg.DataConfig(layout="synthetic", synthetic_chips=8),
        ...     model=floodseg.ModelConfig("lite"),
        ...     optim=floodseg.OptimConfig(epochs=2),
        ... )
        >>> config.optim.epochs
        2
    """

    out_dir: Path = Path("runs/floodseg")
    """Folder of the run: configuration, metrics, pictures and checkpoints."""
    data: Annotated[DataConfig, _FLAT] = field(default_factory=DataConfig)
    model: Annotated[ModelConfig, _FLAT] = field(default_factory=ModelConfig)
    augment: Annotated[AugmentConfig, _FLAT] = field(default_factory=AugmentConfig)
    optim: Annotated[OptimConfig, _FLAT] = field(default_factory=OptimConfig)
    distil: Annotated[DistilConfig, _FLAT] = field(default_factory=DistilConfig)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.model.specialists and self.augment.drop_sensor:
            raise ConfigError(
                f"`drop_sensor={self.augment.drop_sensor}`: has no effect with `specialists`, which map the pixels "
                "where a sensor is missing; leave out one of the two"
            )
