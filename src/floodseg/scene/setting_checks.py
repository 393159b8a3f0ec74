"""Checks of the images and flags of a scene against a model, before any file is opened."""

from floodseg.bands import Bands, band_date
from floodseg.config.predict import SceneConfig
from floodseg.errors import ConfigError


def check_settings(config: SceneConfig, bands: Bands) -> None:
    """Raise ConfigError where images and model, or flags and images, do not go together."""
    if not config.sar and not config.optical:
        raise ConfigError("no image was given; a scene needs `sar`, `optical` or both: name the files")
    for sensor, given, before, names in (
        ("sar", config.sar, config.sar_before, bands.sar),
        ("optical", config.optical, config.optical_before, bands.optical),
    ):
        if given and not names:
            raise ConfigError(
                f"`{sensor}={' '.join(given)}`: the model takes no {sensor} image: leave it out, or choose a model "
                "that does"
            )
        two_dates = any(band_date(name) for name in names)
        if given and two_dates and not before:
            raise ConfigError(f"`{sensor}={' '.join(given)}`: the model needs two dates: give `{sensor}_before`, too")
        if before and two_dates and not given:
            raise ConfigError(f"`{sensor}_before={' '.join(before)}`: the model needs two dates: give `{sensor}`, too")
    if config.optical_before and not any(band_date(name) for name in bands.optical):
        raise ConfigError(
            f"`optical_before={' '.join(config.optical_before)}`: is an input of models of two dates, and this model "
            "takes one: leave it out"
        )
    _check_unused_settings(config, bands)


def _check_unused_settings(config: SceneConfig, bands: Bands) -> None:
    idle = {
        "`grid=optical`": config.grid == "optical" and not config.optical,
        f"`optical_offset={config.optical_offset}`": config.optical_offset is not None and not config.optical,
        f"`cloud_mask={config.cloud_mask}`": config.cloud_mask is not None and not config.optical,
        "`sar_units=linear`": config.sar_units == "linear" and not (config.sar or config.sar_before),
    }
    for flag, does_nothing in idle.items():
        if does_nothing:
            raise ConfigError(f"{flag}: no {'radar' if 'sar' in flag else 'optical'} image is given: leave it out")
    if config.sar_units == "linear" and config.sar and bands.sar_unit == "dn":
        raise ConfigError("`sar_units=linear`: the model takes digital numbers as they are stored: leave it out")
    if config.optical_offset is not None and bands.optical_unit == "dn":
        raise ConfigError("`optical_offset`: the model takes digital numbers as they are stored: leave it out")
