"""Lists of scenes: tables (CSV, GeoParquet) with one row per scene, or STAC documents on disk."""

import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, get_args, get_type_hints

from floodseg.bands import Bands
from floodseg.cluster.stac_list import read_stac
from floodseg.cluster.tables import read_table
from floodseg.config.predict import DEPENDENT_SETTINGS, IMAGES, LAYERS, Files, SceneConfig, SharedScene, layer_file
from floodseg.errors import ConfigError, DataError
from floodseg.messages import suggestion
from floodseg.raster.access import is_remote

_ID = re.compile(r"\w[\w.+-]{0,199}")
_COMMAND_LINE_ONLY = "allow_remote"
"""Setting that a list must not change: only the user who runs the command may allow network access."""
_BOOLEANS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


@dataclass(frozen=True, slots=True)
class NamedScene:
    """Scene of a list, with its settings."""

    id: str
    """Name of the folder and the STAC item of the scene, unique in the list."""
    config: SceneConfig
    """Settings of the scene. File names are absolute, so that every worker finds the files."""


def read_scenes(path: Path, shared: SharedScene, bands: Bands) -> list[NamedScene]:
    """Read a list of scenes.

    Args:
        path: table (``.csv``, ``.parquet``, ``.geoparquet``) or STAC document (``.json``, ``.geojson``).
        shared: settings of all scenes. Settings in the list take precedence.
        bands: bands of the model. STAC assets of sensors that it does not use are ignored.

    Raises:
        ConfigError: a column is unknown, a value is out of range, an id is missing or not unique, or a file is on the
            network without ``allow_remote``.
        DataError: the list cannot be read, or is empty.
    """
    if not path.is_file():
        raise DataError(f"{path}: no such list of scenes; use a CSV, GeoParquet or STAC JSON file")
    is_stac = path.suffix.lower() in (".json", ".geojson")
    rows = read_stac(path, bands, allow_remote=shared.allow_remote) if is_stac else read_table(path)
    if not rows:
        raise DataError(f"{path}: holds no scene; add a row or an item for each scene")
    common = {entry.name: getattr(shared, entry.name) for entry in fields(shared)}
    common |= {name: _absolute(common[name], Path.cwd()) for name in LAYERS if layer_file(name, common[name])}
    scenes = [_scene(path, number, row, common) for number, row in enumerate(rows, start=1)]
    _check_used(path, shared, scenes)
    name, count = Counter(scene.id for scene in scenes).most_common(1)[0]
    if count > 1:
        raise ConfigError(f"{path}: {count} scenes have the id '{name}'; give each scene an id of its own")
    return scenes


def _scene(path: Path, number: int, row: Mapping[str, Any], common: Mapping[str, Any]) -> NamedScene:
    """Return a row of the list as a scene; ``common`` has the settings that the row does not set."""
    location = f"{path}, scene {number}"
    own = {name: _value(location, name, value) for name, value in row.items() if name != "id" and not _is_empty(value)}
    folder = path.parent.absolute()
    own |= {name: tuple(_absolute(file, folder) for file in own[name]) for name in IMAGES if name in own}
    own |= {name: _absolute(own[name], folder) for name in LAYERS if layer_file(name, own.get(name))}
    settings = {**common, **own}
    for needed, names in DEPENDENT_SETTINGS.items():
        if not settings[needed]:  # shared settings of a layer are for the scenes that have it
            settings |= {name: getattr(SharedScene, name) for name in names if name not in own}
    try:
        config = SceneConfig(**settings)
    except ConfigError as error:
        raise ConfigError(f"{location}: {error}") from error
    _check_files(location, config)
    name = str(row["id"]).strip() if not _is_empty(row.get("id")) else _default_id((config.sar or config.optical)[0])
    if not _ID.fullmatch(name):
        raise ConfigError(
            f"{location}: id '{name}' must begin with a letter or digit, and consist of at most 200 letters, digits "
            "and . _ + -, because it names a folder; set such an id in the list"
        )
    return NamedScene(name, config)


def _check_used(path: Path, shared: SharedScene, scenes: Sequence[NamedScene]) -> None:
    """Raise ConfigError for a shared setting of a layer that no scene has."""
    for needed, names in DEPENDENT_SETTINGS.items():
        for name in names:
            value = getattr(shared, name)
            if value != getattr(SharedScene, name) and not any(getattr(scene.config, needed) for scene in scenes):
                raise ConfigError(
                    f"`{name}={value}`: has no effect, since no scene of {path} has `{needed}`; leave it out, or set "
                    f"`{needed}`"
                )


def _check_files(location: str, config: SceneConfig) -> None:
    """Raise ConfigError for a scene without images, or with file names that are not allowed."""
    if not (config.sar or config.optical):
        raise ConfigError(f"{location}: has no image; fill in sar, optical or both")
    files = [file for name in IMAGES for file in getattr(config, name)]
    files += [file for name in LAYERS if (file := layer_file(name, getattr(config, name))) is not None]
    for file in files:
        if any(letter < " " for letter in file):
            raise ConfigError(f"{location}: file name {file!r} holds control characters; rename the file")
        if is_remote(file) and not config.allow_remote:
            raise ConfigError(f"{location}: {file} is on the network; set `allow_remote`, or download it")


def _value(location: str, name: str, value: Any) -> Any:
    """Return a value of the list converted to the type of its setting."""
    kinds: dict[str, Any] = get_type_hints(SceneConfig)
    if name == _COMMAND_LINE_ONLY:
        raise ConfigError(f"{location}: a list must not set '{name}'; add `allow_remote` to the command")
    if name not in kinds:
        columns = ["id", *(key for key in kinds if key != _COMMAND_LINE_ONLY)]
        hint = suggestion(name, columns)
        raise ConfigError(f"{location}: unknown column '{name}'{hint}; use one of {', '.join(columns)}")
    kind = kinds[name]
    if kind == Files:
        files = value.split(";") if isinstance(value, str) else list(value)
        return tuple(str(file).strip() for file in files)
    if kind is bool:
        if str(value).strip().lower() not in _BOOLEANS:
            raise ConfigError(f"{location}: {name} '{value}' must be true or false")
        return _BOOLEANS[str(value).strip().lower()]
    if kind is float or float in get_args(kind):
        try:
            return float(value)
        except (TypeError, ValueError) as error:
            raise ConfigError(f"{location}: {name} '{value}' is not a number; write a number such as 12.5") from error
    if kind is int:
        return int(value) if str(value).strip().isdecimal() else value
    return value.isoformat() if hasattr(value, "isoformat") else str(value).strip()


def _is_empty(value: Any) -> bool:
    return value is None or value != value or (isinstance(value, str | list) and not value)


def _absolute(name: str, folder: Path) -> str:
    """Return an absolute file name. URLs and names in GDAL's virtual file systems are returned unchanged."""
    return name if is_remote(name) or name.startswith("/") else os.path.normpath(folder / name)


def _default_id(file: str) -> str:
    """Return the name of a file without its suffix, with _ for spaces and other letters that an id must not have."""
    return re.sub(r"[^\w.+-]+", "_", Path(file.partition("?")[0]).stem).lstrip(".+-")[:200]
