"""Checks of a scene's settings against the inputs of a model, before files are opened."""

from floodseg.bands import Bands, band_date
from floodseg.config.predict import SceneConfig
from floodseg.errors import ConfigError
from floodseg.messages import SENSOR_NAMES
from floodseg.scene.clouds.hide_clouds import check_method


def check_settings(config: SceneConfig, bands: Bands) -> None:
    """Raise ConfigError if the model lacks an image or cannot use one, or a setting has no effect."""
    if not config.sar and not config.optical:
        raise ConfigError("no image to map; set `sar`, `optical` or both")
    for sensor, files, before, names in (
        ("sar", config.sar, config.sar_before, bands.sar),
        ("optical", config.optical, config.optical_before, bands.optical),
    ):
        if files and not names:
            raise ConfigError(
                f"`{sensor}={' '.join(files)}`: the model takes no {SENSOR_NAMES[sensor]} image; leave it out, or "
                "choose a model that does"
            )
        two_dates = any(band_date(name) for name in names)
        if files and two_dates and not before:
            raise ConfigError(f"`{sensor}={' '.join(files)}`: the model needs two dates; set `{sensor}_before`, too")
        if before and two_dates and not files:
            raise ConfigError(f"`{sensor}_before={' '.join(before)}`: the model needs two dates; set `{sensor}`, too")
    if config.sar_before and not bands.sar:
        raise ConfigError(
            f"`sar_before={' '.join(config.sar_before)}`: the model takes no radar image; leave it out, or choose a "
            "model that does"
        )
    if config.optical_before and not any(band_date(name) for name in bands.optical):
        raise ConfigError(
            f"`optical_before={' '.join(config.optical_before)}`: is an input of two-date models, but this model "
            "takes one date; leave it out"
        )
    _check_unused_settings(config, bands)


def _check_unused_settings(config: SceneConfig, bands: Bands) -> None:
    unused = {
        "`grid=optical`": config.grid == "optical" and not config.optical,
        f"`optical_offset={config.optical_offset}`": config.optical_offset is not None and not config.optical,
        f"`cloud_mask={config.cloud_mask}`": config.cloud_mask not in ("auto", "none") and not config.optical,
        f"`sar_units={config.sar_units}`": config.sar_units != "db" and not (config.sar or config.sar_before),
    }
    for setting, is_unused in unused.items():
        if is_unused:
            raise ConfigError(
                f"{setting}: no {'radar' if setting.startswith('`sar_') else 'optical'} image is in use; leave it out"
            )
    check_method(config.cloud_mask, bands)
    if config.sar_units != "db" and config.sar and bands.sar_unit == "dn":
        raise ConfigError(
            f"`sar_units={config.sar_units}`: the model takes digital numbers as they are stored; leave it out"
        )
    if config.optical_offset is not None and bands.optical_unit == "dn":
        raise ConfigError(
            f"`optical_offset={config.optical_offset:g}`: the model takes digital numbers as they are stored; leave "
            "it out"
        )
