"""Settings that a new map can have: their explanations for the page, and the command of a job."""

import json
import os
import re
import unicodedata
from collections.abc import Collection, Iterator, Mapping
from dataclasses import Field, dataclass, fields, is_dataclass
from functools import cache
from pathlib import Path
from types import NoneType
from typing import Any, Literal, get_args, get_origin, get_type_hints

from docstring_parser import parse_from_object

from floodseg.config.fetch import MapPlaceConfig
from floodseg.config.flat import from_flat
from floodseg.config.predict import CLOUD_METHODS, PredictConfig
from floodseg.models.checkpoint.zoo import shipped_models
from floodseg.server.errors import RequestError
from floodseg.server.folders import Folders
from floodseg.server.rasters import check_parts

JobKind = Literal["predict", "map"]
KINDS: tuple[JobKind, ...] = ("predict", "map")

_SETTINGS: dict[JobKind, tuple[str, ...]] = {
    "predict": (
        "sar", "optical", "sar_before", "permanent_water", "permanent_water_threshold", "cloud_mask", "aoi", "exclude",
        "dem", "max_slope", "depth", "dem_kind", "vertical_datum", "sar_units", "optical_offset", "datetime",
        "threshold", "min_area", "tta",
    ),
    "map": (
        "place", "radius", "date", "window", "sensors", "max_cloud", "before", "days_apart", "source",
        "permanent_water", "permanent_water_threshold", "threshold", "min_area",
    ),
}  # fmt: skip
"""Settings of each kind of job, in the order of the form."""
_FILES = ("sar", "optical", "sar_before", "permanent_water", "cloud_mask", "aoi", "exclude", "dem", "source")
_WORDS = {"sar": "radar image", "sar_before": "radar image from before", "sar_units": "radar units",
          "optical": "optical image", "aoi": "area of interest", "dem": "elevation raster",
          "dem_kind": "kind of elevation raster", "tta": "test-time augmentation"}  # fmt: skip
"""Titles of settings whose names are abbreviations."""
_FLAG = re.compile(r"--[a-z][a-z-]*")
_MAX_NAME_BYTES = 200
"""Longest name of a map in bytes. File systems allow 255, and the name of the staging folder is longer."""
_MAX_NUMBER = 1e300
"""Largest number of a setting: an integer of JSON may be too large for a floating-point number."""
_MODEL_HELP = (
    "Shipped model, or classical baseline: otsu (radar) or ndwi (optical). auto takes s1-efficient for a radar image, "
    "s2 for an optical image, and s1s2 for both."
)


@cache
def settings_documents(kind: JobKind) -> list[dict[str, Any]]:
    """Return name, title, explanation, type, choices and default of each setting of a kind of job.

    Explanations name other settings by their titles. Choices of a file are words that may stand in its place.
    """
    config = PredictConfig if kind == "predict" else MapPlaceConfig
    known = dict(_fields(config))
    model = {
        "name": "model", "title": "Model", "help": _MODEL_HELP, "type": "choice", "choices": _models(),
        "default": "auto", "multiple": False,
    }  # fmt: skip
    documents = [*(_document(*known[name]) for name in _SETTINGS[kind]), model]
    titles = {_flag(document["name"]): f'"{document["title"]}"' for document in documents}
    for document in documents:
        document["help"] = _FLAG.sub(lambda found: titles.get(found[0], found[0]), document["help"])
    return documents


def _models() -> list[str]:
    from floodseg.runtimes.classical import CLASSICAL_METHODS  # imports SciPy, which takes time

    return ["auto", *(shipped.name for shipped in shipped_models()), *CLASSICAL_METHODS]


def _fields(config: type[Any]) -> Iterator[tuple[str, tuple[Field[Any], Any, str]]]:
    """Yield each setting of a configuration and of its nested ones: name -> field, type, explanation."""
    hints = get_type_hints(config)
    texts = {
        entry.arg_name: " ".join((entry.description or "").split())
        for base in reversed(config.__mro__)
        if is_dataclass(base)
        for entry in parse_from_object(base).params
    }
    for entry in fields(config):
        if is_dataclass(hints[entry.name]):
            yield from _fields(hints[entry.name])
        else:
            yield entry.name, (entry, hints[entry.name], texts.get(entry.name, ""))


def _document(entry: Field[Any], hint: Any, text: str) -> dict[str, Any]:
    kinds = [kind for kind in get_args(hint) if kind is not NoneType] if get_origin(hint) is not Literal else [hint]
    kinds = kinds or [hint]
    choices = next((list(get_args(kind)) for kind in kinds if get_origin(kind) is Literal), None)
    if entry.name in _FILES:
        kind, choices = "file", list(_words(entry.name)) or None
    elif choices:
        kind = "choice"
    elif bool in kinds:
        kind = "bool"
    else:
        kind = "number" if {int, float} & set(kinds) else "text"
    title = _WORDS.get(entry.name, entry.name.replace("_", " "))
    default = list(entry.default) if isinstance(entry.default, tuple) else entry.default
    return {
        "name": entry.name, "title": title[0].upper() + title[1:], "help": text, "type": kind, "choices": choices,
        "default": default, "multiple": isinstance(entry.default, tuple),
    }  # fmt: skip


@dataclass(frozen=True)
class JobForm:
    """Form of a new job, as the page sends it."""

    kind: JobKind
    name: str
    """Name of the folder of the map."""
    settings: Mapping[str, Any]

    @staticmethod
    def parse(body: bytes) -> "JobForm":
        """Return the form in a JSON document.

        Raises:
            RequestError: it is no such form.
        """
        try:
            document = json.loads(body)
        except (ValueError, RecursionError) as error:
            raise RequestError(f"the form is not JSON ({error}); reload the page") from error
        kind, name, settings = (
            document.get(key) if isinstance(document, dict) else None for key in ("kind", "name", "settings")
        )
        if kind not in KINDS or not isinstance(settings, dict):
            raise RequestError(f"the form needs a kind ({' or '.join(KINDS)}) and settings; reload the page")
        if not isinstance(name, str) or not _is_map_name(name):
            raise RequestError(
                "the name of a map has 1 to 80 letters, digits, spaces, -, _ and ., starts with a letter or a digit, "
                f"and has at most {_MAX_NAME_BYTES} bytes; choose another name"
            )
        return JobForm(kind, name, settings)


def _is_map_name(name: str) -> bool:
    # in many scripts, vowels and accents are marks
    is_plain = all(char.isalnum() or char in " -_." or unicodedata.category(char)[0] == "M" for char in name)
    return is_plain and name[:1].isalnum() and len(name) <= 80 and len(os.fsencode(name)) <= _MAX_NAME_BYTES


def job_command(form: JobForm, out_dir: Path, folders: Folders) -> list[str]:
    """Return the arguments of ``floodseg`` for a job.

    Args:
        form: the form of the page.
        out_dir: folder of the map.
        folders: folders in which files may lie.

    Raises:
        RequestError: a setting is unknown, has the wrong type, or names a file outside the folders.
        ConfigError: a value is invalid.
    """
    kind = form.kind
    documents = {document["name"]: document for document in settings_documents(kind)}
    values: dict[str, Any] = {}
    for name, value in form.settings.items():
        if name not in documents:
            raise RequestError(f"`{name}`: is not a setting of this form; leave it out")
        if value in (None, "", []):
            continue
        values[name] = _checked(documents[name], value, folders)
    model = values.pop("model", "auto")
    if model not in _models():
        raise RequestError(f"`model={model}`: must be one of {', '.join(_models())}")
    from_flat(PredictConfig if kind == "predict" else MapPlaceConfig, {**values, "out_dir": out_dir})
    flags = [flag for name, value in values.items() for flag in _flags(name, value)]
    flags += [] if model == "auto" else [f"--model={model}"]
    return [kind, *flags, f"--out-dir={out_dir}", *(["--allow-remote"] if kind == "map" else [])]


def _checked(document: Mapping[str, Any], value: Any, folders: Folders) -> Any:
    """Return a value of the right type; files are resolved, and checked to lie in the folders."""
    name, kind = document["name"], document["type"]
    if kind == "file":
        files = value if isinstance(value, list) else [value]
        if not all(isinstance(file, str) for file in files) or (len(files) > 1 and not document["multiple"]):
            raise RequestError(f"`{name}`: must be {'files' if document['multiple'] else 'one file'}; choose it again")
        if files[0] in _words(name):
            return files[0]
        found = tuple(str(folders.checked(file)) for file in files)
        for file in found:
            check_parts(file, folders)
        return found if document["multiple"] else found[0]
    expected: tuple[type, ...] = {"bool": (bool,), "number": (int, float)}.get(kind, (str,))
    is_valid = isinstance(value, expected)
    if kind == "number" and is_valid:
        is_valid = not isinstance(value, bool) and not abs(value) > _MAX_NUMBER
    if not is_valid:
        raise RequestError(f"`{name}={value}`: must be a {'truth value' if kind == 'bool' else kind}; correct it")
    if isinstance(value, str) and (not value.isprintable() or len(value) > 1000):
        raise RequestError(f"`{name}`: holds control characters or is too long; correct it")
    return value


def _words(name: str) -> Collection[str]:
    """Return the values of a setting of files that are no files."""
    from floodseg.catalog.sources import SOURCES

    return {"cloud_mask": CLOUD_METHODS, "source": tuple(SOURCES)}.get(name, ())


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _flags(name: str, value: Any) -> list[str]:
    flag = _flag(name)
    if isinstance(value, bool):
        return [flag] if value else []
    # with "=", a value that begins with "-" is not read as a flag
    return [f"{flag}={each}" for each in (value if isinstance(value, tuple) else (value,))]
