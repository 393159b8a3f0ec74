"""Specialists of one sensor that become part of a model of both (:mod:`floodseg.models.specialists.multi_sensor`)."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from floodseg.bands import SENSORS, Bands, Sensor
from floodseg.config.train import AugmentConfig, DistilConfig, TrainConfig
from floodseg.errors import ConfigError
from floodseg.models.checkpoint.checkpoint import load_path
from floodseg.models.model import FloodModel
from floodseg.models.specialists.multi_sensor import MultiSensorModel
from floodseg.training.lineage import FindModel, check_event
from floodseg.training.run_folder import SPECIALISTS, RunFolder


def specialist_config(config: TrainConfig, sensor: Sensor) -> TrainConfig:
    """Return the settings of a specialist that is trained alike, without what its sensor leaves nothing to do for."""
    augment, data = config.augment, replace(config.data, sensors=sensor)
    if sensor == "sar":
        data = replace(data, optical_bands=())
        augment = replace(
            augment, optical_jitter=AugmentConfig.optical_jitter,
            cloud=AugmentConfig.cloud, cloud_mask_quality=AugmentConfig.cloud_mask_quality,
        )  # fmt: skip
    else:
        augment = replace(augment, sar_jitter_db=AugmentConfig.sar_jitter_db, sar_speckle=0.0)
    return replace(
        config,
        out_dir=RunFolder(config.out_dir).specialist(sensor).path,
        data=data,
        augment=augment,
        model=replace(config.model, specialists=()),
        distil=DistilConfig(),
    )


def open_specialists(config: TrainConfig, find_model: FindModel) -> list[tuple[str, FloodModel]]:
    """Return the specialists of radar and of the optical image by name; none where a run has none.

    Raises:
        ConfigError: one that may know the event which is held out.
        CheckpointError: there is no such model, or it cannot be read.
    """
    if config.model.trains_specialists:
        folder = RunFolder(config.out_dir)
        # by a name that stays where the folder is moved
        return [(f"specialists/{sensor}", load_path(folder.specialist(sensor).path)) for sensor in SENSORS]
    named = [(name, find_model(name)) for name in config.model.specialists]
    for name, model in named:
        check_event("specialists", name, model, config.data.hold_out_event)
    return named


def check_overwriting(folder: Path, config: TrainConfig) -> None:
    """Refuse to overwrite a run that a new one in the same folder is to learn from.

    Specialists that lie in it are kept where the new run names them, and trains none itself.

    Raises:
        ConfigError: names the model that would be lost.
    """
    kept = None if config.model.trains_specialists else folder / SPECIALISTS
    for flag, name in _named(config):
        if _within(folder, name) and not (kept and _within(kept, name)):
            raise ConfigError(
                f"--{flag} {name}: lies in the run folder {folder}, which --overwrite clears; give another --out-dir, "
                "or copy the model elsewhere first"
            )


def names_within(folder: Path, config: TrainConfig) -> bool:
    """Tell whether a model that a run is given lies in a folder."""
    return any(_within(folder, name) for _, name in _named(config))


def _named(config: TrainConfig) -> list[tuple[str, str]]:
    """Return flag and name of each model that a run is given."""
    given = () if config.model.trains_specialists else config.model.specialists
    start = [("start-from", config.model.start_from)] if config.model.start_from else []
    teachers = [("teacher", name) for name in config.distil.teacher]
    return [*start, *(("specialists", name) for name in given), *teachers]


def _within(folder: Path, name: str) -> bool:
    path = Path(name)  # a shipped name is none
    return path.exists() and path.resolve().is_relative_to(folder.resolve())


def require_both_sensors(bands: Bands) -> None:
    """Refuse specialists where there is nothing between which they could stand.

    Raises:
        ConfigError: the chips in use hold one sensor alone.
    """
    if not (bands.sar and bands.optical):
        raise ConfigError(
            "--specialists: are for a model of both sensors, and the chips hold one alone; leave the flag out"
        )


def with_specialists(model: FloodModel, named: Sequence[tuple[str, FloodModel]]) -> FloodModel:
    """Return a model with specialists; the model itself if there are none.

    Raises:
        ConfigError: the chips hold one sensor alone, or the specialists take other bands.
    """
    if not named:
        return model
    require_both_sensors(model.spec.bands)
    (_, sar), (_, optical) = named
    return MultiSensorModel(model, sar, optical)
