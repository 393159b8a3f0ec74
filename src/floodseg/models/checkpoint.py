"""Checkpoints that explain themselves: architecture, bands, statistics, thresholds, training data and scores.

Two forms with the same content: one ``.pth`` file as training writes it (``torch.load(weights_only=True)`` opens it),
and a folder with ``model.safetensors`` and ``config.json`` as weights are shipped. Neither can run code when loaded.
"""

import json
import pickle
import struct
import zipfile
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from floodseg.bands import Bands
from floodseg.errors import CheckpointError, ConfigError
from floodseg.files import replacing, write_text
from floodseg.models.decision import Decisions
from floodseg.models.model import FloodModel, Provenance
from floodseg.models.registry import build_model

FORMAT = "floodseg-model"
FORMAT_VERSION = 1
WEIGHTS_FILE = "model.safetensors"
CONFIG_FILE = "config.json"

_DAMAGED = (
    RuntimeError, OSError, EOFError, LookupError, ValueError, TypeError, AttributeError, struct.error,
    zipfile.BadZipFile,
)  # fmt: skip
"""What torch.load raises on bytes that are no checkpoint, by the place at which it notices."""


def describe(model: FloodModel) -> dict[str, Any]:
    """Return everything about a model but its tensors, as plain JSON values."""
    bands = model.spec.bands
    return {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "architecture": model.spec.architecture,
        "encoder": model.spec.encoder,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "bands": {
            "sar": list(bands.sar),
            "optical": list(bands.optical),
            "sar_unit": bands.sar_unit,
            "optical_unit": bands.optical_unit,
        },
        "decisions": model.decisions.to_json(),
        "training": model.provenance.training,
        "scores": model.provenance.scores,
    }


def save_checkpoint(path: Path, model: FloodModel) -> None:
    """Write one self-describing ``.pth`` file in one step; a reader never sees a part of it."""
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    with replacing(path) as temporary:
        torch.save({"description": describe(model), "state": state}, temporary)


def load_checkpoint(path: Path) -> FloodModel:
    """Read a file that :func:`save_checkpoint` wrote; the model comes in evaluation mode on the CPU.

    Raises:
        CheckpointError: no such file, not a checkpoint of floodseg, one that holds code, or one that does not fit.
    """
    if not path.is_file():
        raise CheckpointError(f"{path}: no such checkpoint; give a run folder, a .pth file or a shipped model's name")
    try:
        document = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"{path}: holds something other than tensors and plain values, which is never loaded since it could run "
            "code; use a checkpoint that floodseg wrote"
        ) from error
    except _DAMAGED as error:
        reason = (str(error).splitlines() or ["it ends early"])[0]
        raise CheckpointError(f"{path}: is damaged or not a checkpoint ({reason}); copy it again") from error
    if not isinstance(document, dict) or "description" not in document or "state" not in document:
        raise CheckpointError(f"{path}: is not a floodseg checkpoint; only files written by floodseg train load")
    return _assemble(document["description"], document["state"], path)


def save_folder(folder: Path, model: FloodModel) -> None:
    """Write ``model.safetensors`` and ``config.json`` into ``folder``."""
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    with replacing(folder / WEIGHTS_FILE) as temporary:
        save_file(state, temporary)
    write_text(folder / CONFIG_FILE, json.dumps(describe(model), indent=2) + "\n")


def load_folder(folder: Path) -> FloodModel:
    """Read a folder that :func:`save_folder` wrote; the model comes in evaluation mode on the CPU.

    Raises:
        CheckpointError: a file is missing, damaged, or does not fit the architecture.
    """
    description = read_description(folder)
    try:
        state = load_file(folder / WEIGHTS_FILE)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{folder / WEIGHTS_FILE}: cannot be read ({error}); copy the folder again") from error
    return _assemble(description, state, folder)


def read_description(folder: Path) -> dict[str, Any]:
    """Return ``config.json`` of a weights folder without loading the weights."""
    try:
        description: dict[str, Any] = json.loads((folder / CONFIG_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{folder / CONFIG_FILE}: cannot be read ({error}); copy the folder again") from error
    return description


def _assemble(description: Any, state: Any, source: Path) -> FloodModel:
    """Build the model that ``description`` names and fill in ``state``."""
    if not isinstance(description, dict) or description.get("format") != FORMAT:
        raise CheckpointError(f"{source}: does not describe a floodseg model; use one that floodseg wrote")
    if description.get("format_version") != FORMAT_VERSION:
        raise CheckpointError(
            f"{source}: has format version {description.get('format_version')}, this floodseg reads {FORMAT_VERSION}; "
            "install the floodseg that wrote it"
        )
    try:
        bands = description["bands"]
        model = build_model(
            description["architecture"],
            encoder=description["encoder"],
            bands=Bands(tuple(bands["sar"]), tuple(bands["optical"]), bands["sar_unit"], bands["optical_unit"]),
        )
        model.decisions = Decisions.from_json(description["decisions"])
        model.provenance = Provenance(dict(description["training"]), dict(description["scores"]))
    except (KeyError, TypeError, ValueError, ConfigError, CheckpointError) as error:
        raise CheckpointError(
            f"{source}: its description is incomplete ({error}); use one that floodseg wrote"
        ) from error
    fill_state(model, state, source)
    return model.eval()


def fill_state(model: FloodModel, state: dict[str, Tensor], source: Path) -> None:
    """Copy ``state`` into ``model``; every tensor must be there and fit.

    Raises:
        CheckpointError: the tensors are those of another architecture.
    """
    try:
        model.load_state_dict(state)
    except (RuntimeError, AttributeError, TypeError) as error:
        encoder = f" with encoder {model.spec.encoder}" if model.spec.encoder else ""
        raise CheckpointError(
            f"{source}: its tensors are not those of '{model.spec.architecture}'{encoder}; "
            "load it with the floodseg version that wrote it"
        ) from error
