"""Reader of STAC documents as lists of scenes: collections and catalogs on disk, item collections and single items.

Nothing is downloaded, and all files must be in the folder of the document or below it. An asset is read as the setting
that its key or one of its roles names (``sar``, ``optical``, ``sar_before``, ``cloud_mask``, ``dem``, ...). Keys such
as ``vv`` and ``iw-vh`` are radar bands, keys such as ``B02``, ``b8a``, ``B03_10m`` and ``green`` optical bands, and
``scl`` is the scene classification of the optical image; of several resolutions the finest is read. Other assets are
ignored.
"""

import json
import os
import re
from collections.abc import Iterator, Mapping
from logging import getLogger
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from floodseg.bands import L1C_BANDS, SAR_BANDS, Bands, canonical_band, names_scene_classes
from floodseg.config.predict import IMAGES, LAYERS
from floodseg.errors import ConfigError, DataError
from floodseg.raster.access import is_remote

_LOG = getLogger("floodseg")

_BAND_KEY = re.compile(
    r"(?:(?:s[12][a-d]?|sentinel[12]|iw|ew|grd[hm]?|rtc|gamma0|sigma0)[-_])*([a-z]+\d*a?)(?:_(\d+)m)?", re.IGNORECASE
)
"""Asset keys that may name a band, and its resolution in metres: ``vv``, ``iw-vv``, ``B8A``, ``nir08``, ``B03_10m``,
but not ``vv-thumbnail``."""
_CLASSES = "SCL"
"""Name of the scene classification, which is read with the optical bands."""
_STORAGE = {"scale": (1, None), "offset": (0, None), "nodata": (0, None)}
"""Fields of ``raster:bands`` and, for each, the values that hold for a file without tags."""
_MAX_DOCUMENTS = 1_000_000


def read_stac(path: Path, bands: Bands, *, allow_remote: bool) -> list[dict[str, Any]]:
    """Return the items of a STAC document as rows with ``id``, ``datetime`` and the files by setting.

    Args:
        path: the document.
        bands: bands of the model. Images of sensors that it does not use are ignored.
        allow_remote: allow assets on the network.

    Raises:
        DataError: a document cannot be read, or is not STAC.
        ConfigError: a file is outside of the folder of the document, or on the network without ``allow_remote``.
    """
    root = path.parent.absolute()
    rows, ignored, described = [], set(), set()
    for folder, item in _items(path, root):
        row, unread = _item_row(item, folder, root, bands, allow_remote=allow_remote)
        rows.append(row)
        ignored |= unread
        described |= {key for key, asset in item["assets"].items() if key not in unread and _describes_storage(asset)}
    if ignored:
        _LOG.info("%s: ignored assets: %s", path, ", ".join(sorted(ignored)))
    if described:
        _LOG.warning(
            "%s: scale, offset and nodata in raster:bands are ignored (assets %s); the tags of the files, "
            "`optical_offset` and `sar_units` are used instead",
            path,
            ", ".join(sorted(described)),
        )
    return rows


def _describes_storage(asset: Mapping[str, Any]) -> bool:
    """Return True if an asset has a scale, an offset or a nodata value other than those of a file without tags."""
    bands = asset.get("raster:bands", [])
    return isinstance(bands, list) and any(
        isinstance(band, dict) and any(band.get(field) not in plain for field, plain in _STORAGE.items())
        for band in bands
    )


def _items(path: Path, root: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Yield each item with the folder of its document, which relative file names start from."""
    waiting, visited = [path.absolute()], set()
    while waiting:
        file = waiting.pop(0)
        if file in visited:
            continue
        visited.add(file)
        if len(visited) > _MAX_DOCUMENTS:
            raise DataError(f"{path}: refers to more than {_MAX_DOCUMENTS} documents; split the list")
        document = _read(file)
        kind = document.get("type")
        if kind == "Feature":
            yield file.parent, document
        elif kind == "FeatureCollection":
            yield from ((file.parent, item) for item in _object_list(file, document, "features"))
        elif kind in ("Collection", "Catalog"):
            for link in _object_list(file, document, "links"):
                if link.get("rel") in ("item", "child"):
                    waiting.append(Path(_local_file(file, str(link.get("href", "")), file.parent, root)))
        else:
            raise DataError(
                f"{file}: has the type {kind!r}; use a STAC Collection, Catalog, FeatureCollection or Feature"
            )


def _read(file: Path) -> dict[str, Any]:
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"{file}: cannot be read ({error.strerror}); restore it, or correct the link to it") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{file}: is not JSON ({error}); write it again") from error
    if not isinstance(document, dict):
        raise DataError(f"{file}: is a JSON {type(document).__name__}, not an object; use a STAC document")
    return document


def _object_list(file: Path, document: Mapping[str, Any], key: str) -> list[dict[str, Any]]:
    entries = document.get(key, [])
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise DataError(f"{file}: '{key}' is no list of objects; write it by the STAC specification")
    return entries


def _item_row(
    item: Mapping[str, Any], folder: Path, root: Path, bands: Bands, *, allow_remote: bool
) -> tuple[dict[str, Any], set[str]]:
    """Return an item as a row, and the keys of its ignored assets."""
    name = item.get("id")
    location = f"{folder}, item '{name}'"
    assets, properties = item.get("assets", {}), item.get("properties", {})
    if not isinstance(assets, dict) or not isinstance(properties, dict) or not isinstance(name, str):
        raise DataError(f"{location}: lacks an id, assets or properties; write it by the STAC specification")
    files: dict[str, list[str]] = {}
    unread = set()
    finest: dict[str, int] = {}
    for band, resolution in filter(None, map(_band, assets)):
        finest[band] = min(resolution, finest.get(band, resolution))
    for key, asset in sorted(assets.items(), key=_asset_order):
        setting = _setting(key, asset, bands)
        named = _band(key)
        if setting is None or (named is not None and named[1] > finest[named[0]]):
            unread.add(key)
            continue
        href = asset.get("href") if isinstance(asset, dict) else None
        if not isinstance(href, str) or not href:
            raise DataError(f"{location}: asset '{key}' has no href; add it, or remove the asset")
        remote = is_remote(href)
        if remote and not allow_remote:
            raise ConfigError(f"{location}: {href} is on the network; set `allow_remote`, or download it")
        files.setdefault(setting, []).append(href if remote else _local_file(f"{location}, {key}", href, folder, root))
    if not files.get("sar") and not files.get("optical"):
        raise ConfigError(
            f"{location}: none of its assets ({', '.join(assets) or 'it has none'}) is an image that the model reads; "
            "name them after the setting (sar, optical) or the band (vv, vh, B03, green), or leave the item out"
        )
    when = properties.get("datetime") or properties.get("start_datetime")
    row: dict[str, Any] = {"id": name, "datetime": when}
    for setting, names in files.items():
        if setting in LAYERS and len(names) > 1:
            raise ConfigError(
                f"{location}: {len(names)} assets are named {setting}, but only one may be; rename the others"
            )
        row[setting] = names if setting in IMAGES else names[0]
    return row, unread


def _band(key: str) -> tuple[str, int] | None:
    """Return the band (or SCL) that an asset key names and its resolution in metres (0 if it names none), or None."""
    match = _BAND_KEY.fullmatch(key)
    if match is None:
        return None
    name = match[1]
    band = _CLASSES if names_scene_classes(name) else canonical_band(name, "sar") or canonical_band(name, "optical")
    return None if band is None else (band, int(match[2] or 0))


def _asset_order(entry: tuple[str, Any]) -> tuple[int, str]:
    """Sort key of assets: VV before VH, optical bands by number, other assets last."""
    bands, named = (*SAR_BANDS, *L1C_BANDS, _CLASSES), _band(entry[0])
    return (len(bands) if named is None else bands.index(named[0]), entry[0])


def _setting(key: str, asset: Any, bands: Bands) -> str | None:
    """Return the setting that an asset belongs to; None for assets that the model does not use."""
    roles = asset.get("roles", []) if isinstance(asset, dict) else []
    words = [str(word).lower().replace("-", "_") for word in (key, *(roles if isinstance(roles, list) else []))]
    found = next((word for word in words if word in (*IMAGES, *LAYERS)), None)
    if found is None and (named := _band(key)) is not None:
        found = "sar" if named[0] in SAR_BANDS else "optical"
    needed_bands = {"sar": bands.sar, "sar_before": bands.sar, "optical": bands.optical,
                    "optical_before": bands.optical, "cloud_mask": bands.optical}  # fmt: skip
    return found if found is None or needed_bands.get(found, True) else None


def _local_file(location: str | Path, href: str, folder: Path, root: Path) -> str:
    """Return the absolute name of a local file that a document refers to."""
    if is_remote(href) or href.lower().startswith("/vsi"):
        raise ConfigError(f"{location}: {href} is no local file; download it, and name it relative to the document")
    file = os.path.normpath(folder / unquote(href.removeprefix("file://")))
    if not Path(file).is_relative_to(root):
        raise ConfigError(f"{location}: {href} is outside of {root}, the folder of the list; move the file into it")
    return file
