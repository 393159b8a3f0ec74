"""Checks of the training and validation chips: number, water pixels, and the sensors that augmentation needs."""

import numpy as np

from floodseg.bands import WATER, WAVELENGTHS
from floodseg.chips.chip import ChipSet
from floodseg.config.train import AugmentConfig, TrainConfig
from floodseg.datasets.screening import UsableChips, open_usable
from floodseg.errors import ConfigError, DataError
from floodseg.simulate.clouds import clouded_channels


def open_chips(config: TrainConfig, processes: int = 1) -> tuple[UsableChips, UsableChips]:
    """Open the training and validation chips, and read each chip once.

    Raises:
        ConfigError: augmentation is set for a sensor that the chips lack, or an epoch has too few crops for one step
            of all processes.
        DataError: a split has no water, or more than a few unusable chips.
    """
    train, valid = open_usable(config.data, "train"), open_usable(config.data, "valid")
    for usable in (train, valid):
        _require_water(usable)
    _require_sensors(train.chips, config)
    crops = len(train.chips.names) * config.augment.crops_per_chip
    if processes > 1 and crops < processes * config.optim.batch_size:
        raise ConfigError(
            f"`batch_size={config.optim.batch_size}`: each of {processes} processes takes this many crops per step, "
            f"but an epoch has only {crops}; lower it, raise `crops_per_chip` or start fewer processes"
        )
    return train, valid


def _require_water(usable: UsableChips) -> None:
    """Refuse a split without water pixels, which can neither train nor score a model."""
    chips = usable.chips
    if not any(np.any(chips.read_label(index) == WATER) for index in range(len(chips.names))):
        raise DataError(
            f"split '{usable.split}': its {len(chips.names)} chips hold no pixel labelled water (1); check the labels, "
            "or choose splits that both contain water"
        )


def _require_sensors(chips: ChipSet, config: TrainConfig) -> None:
    """Refuse augmentation that has no effect on the sensors of the chips or on their units."""
    augment, bands = config.augment, chips.bands
    content = f"the chips hold only {'radar' if bands.sar else 'optical'} images"
    not_db = None if bands.sar_unit == "db" else "the radar images hold digital numbers"
    not_db = not_db if bands.sar else content
    jitter, optical_jitter = augment.sar_jitter_db, augment.optical_jitter
    # a default without effect is not the user's mistake
    jitter_is_set = jitter not in (0, AugmentConfig.sar_jitter_db)
    if augment.drop_sensor > 0 and not (bands.sar and bands.optical):
        raise ConfigError(f"`drop_sensor={augment.drop_sensor}`: needs both sensors, but {content}; leave it out")
    if augment.cloud > 0 and not bands.optical:
        raise ConfigError(f"`cloud={augment.cloud}`: needs optical images, but {content}; leave it out")
    if augment.cloud > 0 and not clouded_channels(bands):
        raise ConfigError(
            f"`cloud={augment.cloud}`: needs an optical image from after the flood, but all optical bands in use are "
            "from before it; leave it out"
        )
    if jitter_is_set and not_db:
        raise ConfigError(f"`sar_jitter_db={jitter}`: needs radar in dB, but {not_db}; leave it out")
    if not bands.optical and optical_jitter not in (0, AugmentConfig.optical_jitter):
        raise ConfigError(f"`optical_jitter={optical_jitter}`: needs optical images, but {content}; leave it out")
    for setting in ("optical_level", "optical_shadow"):
        if getattr(augment, setting) > 0 and not (bands.optical and set(bands.optical) <= set(WAVELENGTHS)):
            raise ConfigError(
                f"`{setting}={getattr(augment, setting)}`: needs Sentinel-2 bands in reflectance, but "
                f"{'the chips hold other bands' if bands.optical else content}; leave it out"
            )
    if augment.sar_speckle > 0 and not_db:
        raise ConfigError(f"`sar_speckle={augment.sar_speckle}`: needs radar in dB, but {not_db}; leave it out")
