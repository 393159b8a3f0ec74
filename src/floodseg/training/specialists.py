"""Specialists: the single-sensor models of a multi-sensor model."""

from collections.abc import Sequence
from dataclasses import replace

from floodseg.bands import SENSORS, Bands, Sensor
from floodseg.config.train import AugmentConfig, DistilConfig, TrainConfig
from floodseg.errors import ConfigError
from floodseg.models.cloud_detector import CloudDetector
from floodseg.models.model import FloodModel
from floodseg.models.multi_sensor import AnyModel, MultiSensorModel
from floodseg.training.lineage import NamedModel, check_event, load_plain_model
from floodseg.training.run_folder import RunFolder, RunMode


def specialist_config(config: TrainConfig, sensor: Sensor) -> TrainConfig:
    """Return the settings of a sensor's specialist: the settings of the run without those of the other sensor."""
    augment, data = config.augment, replace(config.data, sensors=sensor)
    if sensor == "sar":
        data = replace(data, optical_bands=())
        augment = replace(
            augment, optical_jitter=AugmentConfig.optical_jitter,
            optical_level=AugmentConfig.optical_level, optical_shadow=AugmentConfig.optical_shadow,
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


def specialist_mode(config: TrainConfig, mode: RunMode) -> RunMode | None:
    """Return the mode in which the specialist of a run with ``mode`` is trained; None if it is already trained.

    Raises:
        RunFolderError: the settings of a complete run differ from ``config``.
    """
    folder = RunFolder(config.out_dir)
    if mode != "resume" or not folder.config.exists():
        return "new"
    if not folder.summary.exists():
        return "resume"
    folder.check_settings(config)
    return None


def load_specialists(config: TrainConfig) -> list[NamedModel]:
    """Return the specialists of a run, radar first; an empty list if it has none.

    Raises:
        ConfigError: a specialist takes both sensors, or may have been trained on the event that is held out.
        CheckpointError: a specialist does not exist or cannot be read.
    """
    if config.model.trains_specialists:
        folder = RunFolder(config.out_dir)
        paths = [(f"specialists/{sensor}", folder.specialist(sensor).path) for sensor in SENSORS]
        # relative names stay valid if the folder is moved
        return [(name, load_plain_model("specialists", path)) for name, path in paths]
    named = [(name, load_plain_model("specialists", name)) for name in config.model.specialists]
    for name, model in named:
        check_event("specialists", name, model, config.data.hold_out_event)
    return named


def require_both_sensors(bands: Bands) -> None:
    """Refuse specialists for chips of one sensor.

    Raises:
        ConfigError: the bands are of one sensor.
    """
    if not (bands.sar and bands.optical):
        raise ConfigError("`specialists`: needs chips of both sensors, but the chips hold only one; leave it out")


def with_specialists(model: FloodModel, specialists: Sequence[NamedModel], *, detects_clouds: bool) -> AnyModel:
    """Return the multi-sensor model of a fused model and specialists, or the model itself without any.

    The specialists are not trained further. With ``detects_clouds`` the multi-sensor model has a new cloud detector.

    Raises:
        ConfigError: the model takes one sensor, or the specialists take other bands.
    """
    if not specialists:
        return model
    bands = model.spec.bands
    require_both_sensors(bands)
    sar, optical = (specialist.requires_grad_(False) for _, specialist in specialists)
    detector = CloudDetector(len(bands.sar), len(bands.optical)) if detects_clouds else None
    return MultiSensorModel(sar, optical, model, detector)
