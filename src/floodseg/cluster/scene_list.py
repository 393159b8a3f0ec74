"""Lists of scenes: a table (CSV, GeoParquet) with one row for each scene, or a STAC collection on disk."""

import os
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any, get_args, get_type_hints

from floodseg.bands import Bands
from floodseg.cluster.stac_list import read_stac
from floodseg.cluster.tables import read_table
from floodseg.config.predict import IMAGES, LAYERS, Files, SceneConfig, SharedScene
from floodseg.errors import ConfigError, DataError
from floodseg.raster.access import is_remote

_ID = re.compile(r"\w[\w.+-]{0,199}")
_COMMAND_LINE_ONLY = "allow_remote"
"""A list may come from anywhere: only the user who runs the command may open the network."""
_BOOLEANS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


@dataclass(frozen=True, slots=True)
class NamedScene:
    """A scene of a list."""

    id: str
    """Name of its folder and STAC item; no two scenes of a list have the same."""
    config: SceneConfig
    """Its files have absolute names, so that any worker finds them."""


def read_scenes(path: Path, shared: SharedScene, bands: Bands) -> list[NamedScene]:
    """Read a list of scenes.

    Args:
        path: ``.csv``, ``.parquet`` or ``.geoparquet``, or ``.json`` or ``.geojson`` of STAC.
        shared: settings of all scenes; settings of a scene in the list take precedence.
        bands: bands of the model; STAC assets of sensors that it does not take are ignored.

    Raises:
        ConfigError: an unknown column, a value out of range, a missing or double name, an address without
            --allow-remote.
        DataError: the list cannot be read, or is empty.
    """
    if not path.is_file():
        raise DataError(f"{path}: no such list of scenes: give a CSV, a GeoParquet or the JSON of a STAC collection")
    is_stac = path.suffix.lower() in (".json", ".geojson")
    rows = read_stac(path, bands, shared.allow_remote) if is_stac else read_table(path)
    if not rows:
        raise DataError(f"{path}: holds no scene: give one row, or one item, for each")
    common = {entry.name: getattr(shared, entry.name) for entry in fields(shared)}
    common |= {name: _absolute(common[name], Path.cwd()) for name in LAYERS if common[name] is not None}
    scenes = [_scene(path, number, row, common) for number, row in enumerate(rows, start=1)]
    name, times = Counter(scene.id for scene in scenes).most_common(1)[0]
    if times > 1:
        raise ConfigError(
            f"{path}: {times} scenes are named '{name}', and each needs a folder of its own: give them different ids"
        )
    return scenes


def _scene(path: Path, number: int, row: Mapping[str, Any], common: Mapping[str, Any]) -> NamedScene:
    place = f"{path}, scene {number}"
    own = {name: _value(place, name, value) for name, value in row.items() if name != "id" and not _is_empty(value)}
    folder = path.parent.absolute()
    own |= {name: tuple(_absolute(file, folder) for file in own[name]) for name in IMAGES if name in own}
    own |= {name: _absolute(own[name], folder) for name in LAYERS if name in own}
    try:
        config = SceneConfig(**{**common, **own})
    except ConfigError as error:
        raise ConfigError(f"{place}: {error}") from error
    _check_files(place, config)
    name = str(row["id"]).strip() if not _is_empty(row.get("id")) else _file_stem((config.sar or config.optical)[0])
    if not _ID.fullmatch(name):
        raise ConfigError(
            f"{place}: id '{name}' must be letters, digits and . _ + -, begin with a letter or digit, and have at most "
            "200 of them, as it names a folder: give another"
        )
    return NamedScene(name, config)


def _check_files(place: str, config: SceneConfig) -> None:
    if not (config.sar or config.optical):
        raise ConfigError(f"{place}: names no image: give sar, optical or both")
    files = [file for name in IMAGES for file in getattr(config, name)]
    files += [file for name in LAYERS if (file := getattr(config, name)) is not None]
    for file in files:
        if any(letter < " " for letter in file):
            raise ConfigError(f"{place}: {file!r} must be the name of a file, without control characters")
        if is_remote(file) and not config.allow_remote:
            raise ConfigError(f"{place}: {file} is an address on a network, which is read only with `allow_remote`")


def _value(place: str, name: str, value: Any) -> Any:
    """Return a value of a list in the type of its setting."""
    kinds: dict[str, Any] = get_type_hints(SceneConfig)
    if name == _COMMAND_LINE_ONLY:
        raise ConfigError(f"{place}: '{name}' cannot be given by a list: add `allow_remote` to the command")
    if name not in kinds:
        known = ["id", *(key for key in kinds if key != _COMMAND_LINE_ONLY)]
        close = get_close_matches(name, known, n=1)
        hint = f" (did you mean {close[0]}?)" if close else ""
        raise ConfigError(f"{place}: unknown column '{name}'{hint}: must be one of {', '.join(known)}")
    kind = kinds[name]
    if kind == Files:
        files = value.split(";") if isinstance(value, str) else list(value)
        return tuple(str(file).strip() for file in files)
    if kind is bool:
        if str(value).strip().lower() not in _BOOLEANS:
            raise ConfigError(f"{place}: {name} '{value}' must be true or false")
        return _BOOLEANS[str(value).strip().lower()]
    if kind is float or float in get_args(kind):
        try:
            return float(value)
        except (TypeError, ValueError) as error:
            raise ConfigError(f"{place}: {name} '{value}' must be a number") from error
    return value.isoformat() if hasattr(value, "isoformat") else str(value).strip()


def _is_empty(value: Any) -> bool:
    return value is None or value != value or (isinstance(value, str | list) and not value)


def _absolute(name: str, folder: Path) -> str:
    """Return an absolute file name; addresses and names in GDAL's virtual file systems stay as they are."""
    return name if is_remote(name) or name.startswith("/") else os.path.normpath(folder / name)


def _file_stem(name: str) -> str:
    return Path(name.partition("?")[0]).stem
