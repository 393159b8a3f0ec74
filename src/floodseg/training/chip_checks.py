"""Checks of the chips of a run: enough of them, with water, and with the sensors that the settings use."""

import numpy as np

from floodseg.bands import WATER
from floodseg.chips.chip import ChipSet
from floodseg.config.train import AugmentConfig, TrainConfig
from floodseg.datasets.screening import UsableChips, open_usable
from floodseg.errors import ConfigError, DataError
from floodseg.simulate.clouds import clouded_channels


def open_chips(config: TrainConfig, processes: int = 1) -> tuple[UsableChips, UsableChips]:
    """Open training and validation chips, each of which is read once.

    Raises:
        ConfigError: augmentation for a sensor that the chips lack, or an epoch with too few crops for one step of
            all processes.
        DataError: a split without water, or of which more than a few chips cannot be used.
    """
    train, valid = open_usable(config.data, "train"), open_usable(config.data, "valid")
    for usable in (train, valid):
        _require_water(usable)
    _require_sensors(train.chips, config)
    crops = len(train.chips.names) * config.augment.crops_per_chip
    if processes > 1 and crops < processes * config.optim.batch_size:
        raise ConfigError(
            f"`batch_size={config.optim.batch_size}`: each of {processes} processes takes as many crops a step, and an "
            f"epoch has {crops}; lower it, raise `crops_per_chip` or start fewer processes"
        )
    return train, valid


def _require_water(usable: UsableChips) -> None:
    """Refuse a split in which nothing can be learned, or nothing be scored."""
    chips = usable.chips
    if not any(np.any(chips.read_label(index) == WATER) for index in range(len(chips.names))):
        raise DataError(
            f"split '{usable.split}': its {len(chips.names)} chips hold no pixel labelled water (1); training needs "
            "some in train and in valid: check the labels, or split otherwise"
        )


def _require_sensors(chips: ChipSet, config: TrainConfig) -> None:
    """Refuse augmentation that the sensors at hand, or the unit of their numbers, leave nothing to do."""
    held = f"the chips hold {'radar' if chips.bands.sar else 'optical images'} alone"
    if config.augment.drop_sensor > 0 and not (chips.bands.sar and chips.bands.optical):
        raise ConfigError(f"`drop_sensor={config.augment.drop_sensor}`: {held}, and none can be spared; leave it out")
    if config.augment.cloud > 0 and not chips.bands.optical:
        raise ConfigError(f"`cloud={config.augment.cloud}`: {held}, which clouds do not hide; leave it out")
    if config.augment.cloud > 0 and not clouded_channels(chips.bands):
        raise ConfigError(
            f"`cloud={config.augment.cloud}`: covers the image of after the flood, and the optical bands in use are of "
            "before alone; leave it out"
        )
    jitter, illumination = config.augment.sar_jitter_db, config.augment.optical_jitter
    # a default that finds nothing to do is no mistake of the user's
    if not chips.bands.sar and jitter not in (0, AugmentConfig.sar_jitter_db):
        raise ConfigError(f"`sar_jitter_db={jitter}`: {held}, and it is for radar; leave it out")
    if not chips.bands.optical and illumination not in (0, AugmentConfig.optical_jitter):
        raise ConfigError(f"`optical_jitter={illumination}`: {held}, and it is for optical images; leave it out")
    if config.augment.sar_speckle > 0 and (not chips.bands.sar or chips.bands.sar_unit != "db"):
        why = "the radar images hold digital numbers" if chips.bands.sar else held
        raise ConfigError(f"`sar_speckle={config.augment.sar_speckle}`: is for radar in dB, and {why}; leave it out")
    if chips.bands.sar and chips.bands.sar_unit != "db" and jitter not in (0, AugmentConfig.sar_jitter_db):
        raise ConfigError(
            f"`sar_jitter_db={jitter}`: is an offset in dB, and the radar images hold digital numbers; leave it out"
        )
