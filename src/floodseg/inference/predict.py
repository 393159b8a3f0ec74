"""``floodseg.predict_scene``: maps a scene of files or arrays with a model or a classical baseline.

PyTorch is imported only if the model runs in it.
"""

import shutil
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import fields, replace
from pathlib import Path
from tempfile import mkdtemp
from typing import TYPE_CHECKING, Any, TypeGuard

from floodseg.bands import Bands
from floodseg.config.depth import DepthOptions
from floodseg.config.predict import CLOUD_METHODS, MapConfig, PredictConfig, SceneConfig
from floodseg.errors import ConfigError
from floodseg.inference.flood_map import FloodMap
from floodseg.inference.model_choice import AUTO, choose_model
from floodseg.inference.pipeline import predict_arrays, predict_files
from floodseg.messages import SENSOR_NAMES, suggestion
from floodseg.models.checkpoint.zoo import shipped_models
from floodseg.runtimes.base import Runtime
from floodseg.runtimes.classical import CLASSICAL_METHODS, ClassicalMethod
from floodseg.runtimes.select import open_runtime
from floodseg.scene.array_scene import ArrayScene

if TYPE_CHECKING:  # imports PyTorch
    from floodseg.models.multi_sensor import AnyModel

_ARRAY_SETTINGS = (
    "aoi", "exclude", "dem", "max_slope", "permanent_water", "permanent_water_threshold", "datetime", "allow_remote",
    "cloud_mask", "depth", *(entry.name for entry in fields(DepthOptions)),
)  # fmt: skip
"""Scene settings that apply to arrays. Layers are files, in any coordinate system."""

_REMOVED = dict.fromkeys(
    ("write_sensor_weights", "write_reliability"),
    "the summary holds the share of pixels that each sensor decided",
)
"""Explanations of removed settings."""


def predict_config(
    config: PredictConfig,
    model: "str | Path | AnyModel" = AUTO,
    *,
    overwrite: bool = False,
    show_progress: bool = False,
) -> FloodMap:
    """Map the scene of ``config`` and write its products into ``config.out_dir``.

    Raises:
        FloodsegError: invalid input, settings or model, or an output folder that cannot be used.
    """
    chosen, reason = choose_model(model, sar=bool(config.scene.sar), optical=bool(config.scene.optical))
    runtime, name = open_model_or_baseline(chosen, config.mapping)
    check_sensors(config.scene, runtime.bands, name)
    summary = predict_files(
        config, runtime, name, model_choice=reason, overwrite=overwrite, show_progress=show_progress
    )
    return FloodMap(config.out_dir, summary)


def predict_scene(
    sar: Any = None,
    optical: Any = None,
    *,
    model: "str | Path | AnyModel" = AUTO,
    out_dir: str | Path | None = None,
    overwrite: bool = False,
    show_progress: bool = False,
    optical_bands: Sequence[str] | None = None,
    crs: Any = None,
    transform: Sequence[float] | None = None,
    **settings: Any,
) -> FloodMap:
    """Map a scene, like ``floodseg predict``, from files or from arrays.

    Args:
        sar: path of a raster (or several, one per polarisation), or a NumPy or xarray array (2, H, W) of VV and VH in
            dB, NaN where invalid.
        optical: path of a raster, a .SAFE product or several files, or an array (C, H, W) of reflectance, 0 to 1.
        model: ``auto`` (the shipped model for the images: ``s1-efficient`` for radar, ``s2`` for an optical image,
            ``s1s2`` for both), a shipped model, a run folder, a checkpoint, an exported file, a loaded model, or a
            classical baseline: ``otsu`` (radar) or ``ndwi`` (optical).
        out_dir: folder of the products; None writes temporary products, which are removed when the returned FloodMap is
            garbage-collected.
        overwrite: replace finished products.
        show_progress: show a progress bar.
        optical_bands: band names of an optical array.
        crs: coordinate system of arrays; by default that of an xarray array.
        transform: affine transform of arrays (six numbers); by default from the coordinates of an xarray array.
        **settings: settings of ``floodseg predict``: ``aoi``, ``permanent_water``, ``tile_size``, ...

    Returns:
        The map. Its arrays and polygons are read when they are first used.

    Raises:
        FloodsegError: invalid input, settings or model, or an output folder that cannot be used.

    Example:
        >>> sar = np.full((2, 64, 64), -12, np.float32)  # VV and VH in dB
        >>> sar[:, :, 32:] = -24
        >>> place = {"crs": "EPSG:32632", "transform": (10, 0, 500_000, 0, -10, 5_000_000)}
        >>> flood = floodseg.predict_scene(sar=sar, model="s1-lite", datetime="2024-10-31", **place)
        >>> flood.probability.shape
        (64, 64)
    """
    if _is_array(settings.get("cloud_mask")):
        remedy = "set hidden pixels of `optical` to NaN" if _is_array(optical) else "write it to a raster and pass that"
        raise ConfigError(f"`cloud_mask`: is an array; {remedy}")
    array_settings = {"optical_bands": optical_bands, "crs": crs, "transform": transform}

    def write_products(folder: Path) -> dict[str, Any]:
        if not (_is_array(sar) or _is_array(optical)):
            _refuse_array_settings(array_settings)
            config = build_config({**settings, "sar": sar, "optical": optical}, folder)
            return predict_config(config, model, overwrite=overwrite, show_progress=show_progress).summary
        config = build_config(settings, folder)
        chosen, reason = choose_model(model, sar=sar is not None, optical=optical is not None)
        runtime, name = open_model_or_baseline(chosen, config.mapping)
        scene = _array_scene(sar, optical, runtime.bands, config.scene, array_settings)
        layers = SceneConfig(**{key: getattr(config.scene, key) for key in _ARRAY_SETTINGS})
        layers_config = replace(config, scene=layers)
        return predict_arrays(
            scene, layers_config, runtime, name,
            images=scene.sensors, model_choice=reason, overwrite=overwrite, show_progress=show_progress,
        )  # fmt: skip

    if out_dir is not None:
        return FloodMap(Path(out_dir), write_products(Path(out_dir)))
    with ExitStack() as on_error:
        temporary = Path(mkdtemp(prefix="floodseg-"))
        on_error.callback(shutil.rmtree, temporary, ignore_errors=True)
        flood_map = FloodMap(temporary / "flood", write_products(temporary / "flood"), temporary=temporary)
        on_error.pop_all()
    return flood_map


def build_config(settings: Mapping[str, Any], out_dir: Path) -> PredictConfig:
    """Return the configuration of flat settings.

    Raises:
        ConfigError: an unknown name or an invalid value.
    """
    groups = (SceneConfig, MapConfig)
    known = [entry.name for group in groups for entry in fields(group)]
    for name in settings:
        if name not in known:
            if name in _REMOVED:
                raise ConfigError(f"`{name}` was removed: {_REMOVED[name]}; leave it out")
            raise ConfigError(f"setting '{name}'{suggestion(name, known)}: must be one of {', '.join(known)}")
    scene, mapping = (
        group(**{entry.name: settings[entry.name] for entry in fields(group) if entry.name in settings})
        for group in groups
    )
    assert isinstance(scene, SceneConfig)
    assert isinstance(mapping, MapConfig)
    return PredictConfig(out_dir, scene, mapping)


def open_model_or_baseline(model: "str | Path | AnyModel", mapping: MapConfig) -> tuple[Runtime | ClassicalMethod, str]:
    """Return a model or a classical baseline, ready to run with ``mapping``, and its name in the products.

    Raises:
        CheckpointError: the model does not exist or cannot be read.
        ConfigError: the model cannot run with these settings.
    """
    if isinstance(model, str) and model in CLASSICAL_METHODS:
        _check_baseline_settings(model, mapping)
        return CLASSICAL_METHODS[model], model
    name = str(model) if isinstance(model, str | Path) else model.spec.architecture
    return open_runtime(model, mapping), name


def _check_baseline_settings(name: str, mapping: MapConfig) -> None:
    """Raise ConfigError for settings that have no effect on a classical baseline."""
    for setting, used, reason in (
        (f"threshold={mapping.threshold}", mapping.threshold is not None, "computes its own threshold"),
        ("tta", mapping.tta, "classifies each pixel independently, so flips have no effect"),
        ("device=cuda", mapping.device == "cuda", "runs on the CPU"),
        (f"runtime={mapping.runtime}", mapping.runtime != "auto", "needs no runtime"),
        (f"precision={mapping.precision}", mapping.precision != "auto", "has a fixed number format"),
    ):
        if used:
            raise ConfigError(f"`{setting}`: '{name}' {reason}; leave the setting out")


def check_sensors(config: SceneConfig, bands: Bands, name: str) -> None:
    """Raise ConfigError for an image of a sensor that the model does not use.

    The message names the models that take all images of the scene.
    """
    images = {"sar": config.sar, "optical": config.optical}
    needed = [sensor for sensor, files in images.items() if files]
    for sensor, files, names in (("sar", config.sar, bands.sar), ("optical", config.optical, bands.optical)):
        if not files or names:
            continue
        able = [each.name for each in shipped_models() if all(each.description["bands"][one] for one in needed)]
        able += [
            each for each, method in CLASSICAL_METHODS.items() if all(getattr(method.bands, one) for one in needed)
        ]
        raise ConfigError(
            f"`{sensor}={' '.join(files)}`: model '{name}' takes no {SENSOR_NAMES[sensor]} image; leave the image out, "
            f"or set `model` to {' or '.join(able)}, or to a model of your own"
        )


def _is_array(image: Any) -> TypeGuard[Any]:
    return hasattr(image, "data_vars") or (hasattr(image, "shape") and hasattr(image, "dtype"))


def _refuse_array_settings(settings: dict[str, Any]) -> None:
    """Raise ConfigError if a setting of arrays is set for files."""
    for name, value in settings.items():
        if value is not None:
            raise ConfigError(f"`{name}`: applies only to arrays, but the images are files; leave the setting out")


def _array_scene(
    sar: Any, optical: Any, bands: Bands, config: SceneConfig, array_settings: dict[str, Any]
) -> ArrayScene:
    """Return the scene of arrays; raises ConfigError for scene settings without effect on arrays."""
    for image, setting in ((sar, "sar"), (optical, "optical")):
        if image is not None and not _is_array(image):
            raise ConfigError(f"`{setting}`: is a file and the other image an array; pass two files or two arrays")
    if config.cloud_mask not in CLOUD_METHODS:
        raise ConfigError(
            f"`cloud_mask={config.cloud_mask}`: is a file and the images are arrays; set `cloud_mask` to "
            f"{', '.join(CLOUD_METHODS[:-1])} or {CLOUD_METHODS[-1]}, or set hidden pixels of `optical` to NaN"
        )
    if config.cloud_mask == "csmask" and optical is None:
        raise ConfigError("`cloud_mask=csmask`: has no effect without an optical array; leave it out")
    defaults = SceneConfig()
    for entry in fields(config):
        value = getattr(config, entry.name)
        if value != getattr(defaults, entry.name) and entry.name not in (*_ARRAY_SETTINGS, "sar_units"):
            raise ConfigError(f"`{entry.name}={value}`: has no effect on arrays; leave the setting out")
    scene = ArrayScene(bands, sar, optical, sar_units=config.sar_units, **array_settings)
    if config.cloud_mask == "auto":
        scene.hide_scene_classes()
    return scene
