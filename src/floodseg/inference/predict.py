"""``floodseg.predict_scene``: a model by its name, a scene by its files or arrays, and the map of it.

Torch is imported with the first model: a reference method maps without it.
"""

import shutil
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import fields, replace
from difflib import get_close_matches
from pathlib import Path
from tempfile import mkdtemp
from typing import TYPE_CHECKING, Any, TypeGuard

from floodseg.bands import Bands
from floodseg.config.predict import MapConfig, PredictConfig, SceneConfig
from floodseg.errors import ConfigError
from floodseg.inference.flood_map import FloodMap
from floodseg.inference.pipeline import predict_arrays, predict_files
from floodseg.models.checkpoint.zoo import shipped_models
from floodseg.runtimes.base import Runtime
from floodseg.runtimes.classical import PLAIN_METHODS, PlainMethod
from floodseg.runtimes.select import open_runtime
from floodseg.scene.array_scene import ArrayScene

if TYPE_CHECKING:  # PyTorch is loaded only where it maps
    from floodseg.models.model import FloodModel

DEFAULT_MODEL = "s1-lite"

_ARRAY_SETTINGS = (
    "aoi", "exclude", "dem", "max_slope", "permanent_water", "permanent_water_threshold", "datetime", "allow_remote",
)  # fmt: skip
"""Settings of the scene that mean something for arrays: layers are files, in any coordinate system."""


def predict(
    config: PredictConfig,
    model: "str | Path | FloodModel" = DEFAULT_MODEL,
    *,
    overwrite: bool = False,
    show_progress: bool = False,
) -> FloodMap:
    """Map the scene that ``config`` names, and write its products into ``config.out_dir``.

    Raises:
        FloodsegError: input, settings, a model or a folder that the user can mend.
    """
    runtime, name = open_model_or_baseline(model, config.mapping)
    check_sensors(config.scene, runtime.bands, name)
    summary = predict_files(config, runtime, name, overwrite=overwrite, show_progress=show_progress)
    return FloodMap(config.out_dir, summary)


def predict_scene(
    sar: Any = None,
    optical: Any = None,
    *,
    model: "str | Path | FloodModel" = DEFAULT_MODEL,
    out_dir: str | Path | None = None,
    overwrite: bool = False,
    show_progress: bool = False,
    optical_bands: Sequence[str] | None = None,
    crs: Any = None,
    transform: Sequence[float] | None = None,
    **settings: Any,
) -> FloodMap:
    """Map a scene: ``floodseg predict`` from Python, also for arrays in memory.

    Args:
        sar: path of a raster (or several, one for each polarisation), or an array (2, H, W) of VV and VH in dB, NaN
            where there is nothing; numpy or xarray.
        optical: path of a raster, a .SAFE product or several files, or an array (C, H, W) of reflectance 0 to 1.
        model: a shipped model, a run folder, a checkpoint, an exported file, a loaded model, or a reference method:
            ``otsu`` (radar) or ``ndwi`` (optical).
        out_dir: folder of the products; None keeps them with the returned map alone.
        overwrite: replace finished products.
        show_progress: show a bar with the time left.
        optical_bands: names of the bands of an optical array.
        crs: coordinate system of arrays; by default that of a labelled array.
        transform: of arrays, the six numbers of an affine transform; by default from a labelled array's coordinates.
        **settings: the flags of ``floodseg predict`` by name: ``aoi``, ``permanent_water``, ``tile_size``, ...

    Raises:
        FloodsegError: input, settings, a model or a folder that the user can mend.
    """

    def mapped(folder: Path) -> dict[str, Any]:
        if not (_is_array(sar) or _is_array(optical)):
            _refuse_array_settings(crs=crs, transform=transform, optical_bands=optical_bands)
            config = build_config({**settings, "sar": sar, "optical": optical}, folder)
            return predict(config, model, overwrite=overwrite, show_progress=show_progress).summary
        config = build_config(settings, folder)
        runtime, name = open_model_or_baseline(model, config.mapping)
        scene = _array_scene(sar, optical, runtime.bands, config.scene, optical_bands, crs, transform)
        layers = replace(config, scene=SceneConfig(**{key: getattr(config.scene, key) for key in _ARRAY_SETTINGS}))
        return predict_arrays(scene, layers, runtime, name, overwrite=overwrite, show_progress=show_progress)

    if out_dir is not None:
        return FloodMap(Path(out_dir), mapped(Path(out_dir)))
    with ExitStack() as unfinished:
        temporary = Path(mkdtemp(prefix="floodseg-"))
        unfinished.callback(shutil.rmtree, temporary, ignore_errors=True)
        flood_map = FloodMap(temporary / "flood", mapped(temporary / "flood"), temporary=temporary)
        unfinished.pop_all()
    return flood_map


def build_config(settings: Mapping[str, Any], out_dir: Path) -> PredictConfig:
    """Return flat settings (the flags' names) as a configuration.

    Raises:
        ConfigError: an unknown name, or a value out of range.
    """
    groups = (SceneConfig, MapConfig)
    known = [entry.name for group in groups for entry in fields(group)]
    for name in settings:
        if name not in known:
            close = get_close_matches(name, known, n=1)
            hint = f" (did you mean {close[0]}?)" if close else ""
            raise ConfigError(f"setting '{name}'{hint}: must be one of {', '.join(known)}")
    scene, mapping = (
        group(**{entry.name: settings[entry.name] for entry in fields(group) if entry.name in settings})
        for group in groups
    )
    assert isinstance(scene, SceneConfig)
    assert isinstance(mapping, MapConfig)
    return PredictConfig(out_dir, scene, mapping)


def open_model_or_baseline(model: "str | Path | FloodModel", mapping: MapConfig) -> tuple[Runtime | PlainMethod, str]:
    """Return what maps, ready to run as ``mapping`` says, and what products call it: a model or a reference method.

    Raises:
        CheckpointError: there is no such model, or it cannot be read.
        ConfigError: it cannot run as asked.
    """
    if isinstance(model, str) and model in PLAIN_METHODS:
        _check_baseline_settings(model, mapping)
        return PLAIN_METHODS[model], model
    name = str(model) if isinstance(model, str | Path) else model.spec.architecture
    return open_runtime(model, mapping), name


def _check_baseline_settings(name: str, mapping: MapConfig) -> None:
    """Refuse settings that mean nothing for a reference method."""
    for flag, given, why in (
        ("threshold", mapping.threshold, f"'{name}' gives no probability, and has a threshold of its own"),
        ("tta", mapping.tta or None, f"'{name}' decides each pixel by itself, so flips change nothing"),
        ("device", "cuda" if mapping.device == "cuda" else None, f"'{name}' runs on the CPU"),
        ("runtime", None if mapping.runtime == "auto" else mapping.runtime, f"'{name}' is arithmetic on pixels"),
        ("precision", None if mapping.precision == "auto" else mapping.precision, f"'{name}' compares numbers as read"),
    ):
        if given is not None:
            setting = f"`{flag}`" if given is True else f"`{flag}={given}`"
            raise ConfigError(f"{setting}: {why}: leave it out")


def check_sensors(config: SceneConfig, bands: Bands, name: str) -> None:
    """Refuse an image of a sensor that the model does not take, and name the models that do."""
    for sensor, files, names in (("sar", config.sar, bands.sar), ("optical", config.optical, bands.optical)):
        if not files or names:
            continue

        able = [each.name for each in shipped_models() if each.description["bands"][sensor]]
        able += [plain for plain, method in PLAIN_METHODS.items() if getattr(method.bands, sensor)]
        raise ConfigError(
            f"`{sensor}={' '.join(files)}`: model '{name}' takes no {sensor} image: leave it out, or choose `model` "
            f"{' or '.join(able)}, or one that floodseg train made"
        )


def _is_array(image: Any) -> TypeGuard[Any]:
    return hasattr(image, "shape") and hasattr(image, "dtype")


def _refuse_array_settings(**given: Any) -> None:
    for name, value in given.items():
        if value is not None:
            raise ConfigError(f"{name}: describes arrays, and files were given, which say it themselves: leave it out")


def _array_scene(
    sar: Any,
    optical: Any,
    bands: Bands,
    config: SceneConfig,
    optical_bands: Sequence[str] | None,
    crs: Any,
    transform: Sequence[float] | None,
) -> ArrayScene:
    for image, flag in ((sar, "sar"), (optical, "optical")):
        if image is not None and not _is_array(image):
            raise ConfigError(f"{flag}: is a file, and the other sensor an array: give both in the same way")
    defaults = SceneConfig()
    for entry in fields(config):
        value = getattr(config, entry.name)
        if value != getattr(defaults, entry.name) and entry.name not in (*_ARRAY_SETTINGS, "sar_units"):
            raise ConfigError(f"{entry.name} {value}: has no effect on arrays: leave it out")
    return ArrayScene(
        bands, sar, optical, optical_bands=optical_bands, crs=crs, transform=transform, sar_units=config.sar_units
    )
