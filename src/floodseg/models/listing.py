"""``floodseg.list_models``: the architectures and the shipped models with what is known of them."""

import json
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from floodseg.models.checkpoint.formats import exported_mb, is_exported
from floodseg.models.checkpoint.zoo import ShippedModel, shipped_models
from floodseg.system.extras import is_installed

TIMES_FILE = Path(__file__).parent / "weights/times.json"
"""Times of mapping one scene with each shipped model, written by ``benchmarks/speed/shipped_models.py``."""


def list_models(filter: str = "*") -> dict[str, Any]:
    """Return the architectures and the shipped models as JSON values.

    Args:
        filter: only those whose name matches this pattern, in which ``*`` stands for any characters and ``?`` for one.

    Returns:
        ``architectures``: ``name``, ``encoder``, ``parameters`` (for all bands) and ``description`` of each; None
        without PyTorch, which counts the parameters.

        ``models``: for each shipped model ``name``, ``architecture``, ``encoder``, ``parameters``, ``parts`` (models
        that it fuses, by sensor; empty for others), ``sensors``, ``bands``, ``size_mb`` (of all its files, without
        those of its parts), ``exported`` (size in megabytes by runtime and precision), ``scores`` by split or data
        set, ``relative_time`` (CPU time of mapping a scene, relative to ``s1-lite``; None if not measured),
        ``licence`` (of the weights) and ``training_data``.

    Example:
        >>> [model["name"] for model in floodseg.list_models()["models"]]
        ['s1-efficient', 's1-lite', 's1s2', 's2']
        >>> [model["name"] for model in floodseg.list_models("s1-*")["models"]]
        ['s1-efficient', 's1-lite']
    """
    times: dict[str, float] = json.loads(TIMES_FILE.read_text(encoding="utf-8"))["relative_time"]
    return {
        "architectures": _architectures(filter) if is_installed("torch") and is_installed("timm") else None,
        "models": [
            _entry(shipped, times.get(shipped.name))
            for shipped in shipped_models()
            if fnmatchcase(shipped.name, filter)
        ],
    }


def _architectures(filter: str) -> list[dict[str, Any]]:
    from floodseg.models.registry import ARCHITECTURES, build_model

    return [
        {
            "name": name,
            "encoder": entry.default_encoder,
            "parameters": sum(parameter.numel() for parameter in build_model(name).parameters()),
            "description": entry.summary,
        }
        for name, entry in ARCHITECTURES.items()
        if fnmatchcase(name, filter)
    ]


def _entry(shipped: ShippedModel, relative_time: float | None) -> dict[str, Any]:
    description = shipped.description
    bands = description["bands"]
    exported = [file for file in sorted(shipped.folder.iterdir()) if is_exported(file)]
    return {
        "name": shipped.name,
        "architecture": description["architecture"],
        "encoder": description.get("encoder"),
        "parameters": description["parameters"],
        "parts": {sensor: folder.name for sensor, folder in shipped.parts.items()},
        "sensors": [sensor for sensor in ("sar", "optical") if bands[sensor]],
        "bands": {"sar": bands["sar"], "optical": bands["optical"]},
        "size_mb": round(shipped.size_mb, 2),
        "exported": {file.stem: round(exported_mb(file), 2) for file in exported},
        "scores": description["scores"],
        "relative_time": relative_time,
        "licence": description["training"]["licence"],
        "training_data": description["training"]["data"],
    }
