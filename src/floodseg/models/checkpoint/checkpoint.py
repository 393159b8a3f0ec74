"""Self-describing checkpoints: weights, architecture, bands, statistics, thresholds, training data and scores.

Two formats have the same content. Training writes one ``.pth`` file, which ``torch.load(weights_only=True)`` reads.
Shipped models are folders with ``model.safetensors`` and ``config.json``. Loading either format never runs code.
"""

import io
import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from floodseg.bands import SENSORS, Bands
from floodseg.errors import CheckpointError, ConfigError
from floodseg.models.checkpoint.description import (
    CONFIG_FILE,
    FORMAT,
    FORMAT_VERSION,
    WEIGHTS_FILE,
    find_path,
    read_description,
)
from floodseg.models.checkpoint.safe_load import NO_DESCRIPTION, safe_load
from floodseg.models.decision import Decisions
from floodseg.models.model import FloodModel, Provenance
from floodseg.models.registry import build_model
from floodseg.models.specialists.multi_sensor import MultiSensorModel, specialists_of
from floodseg.system.files import replacing, write_text


def describe(model: FloodModel) -> dict[str, Any]:
    """Return the description of a model as plain JSON values: everything except its tensors."""
    bands = model.spec.bands
    specialists = {sensor: describe(specialist) for sensor, specialist in specialists_of(model).items()}
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
        "context_prior": model.context_prior.strength if model.context_prior else 0.0,
    } | ({"specialists": specialists} if specialists else {})


def save_checkpoint(path: Path, model: FloodModel) -> None:
    """Write one self-describing ``.pth`` file; the file appears only when it is complete."""
    # torch.save reports a full disk as an internal error, so it writes to memory
    content = io.BytesIO()
    torch.save({"description": describe(model), "state": _cpu_state(model)}, content)
    with replacing(path) as temporary:
        temporary.write_bytes(content.getbuffer())


def load_checkpoint(path: Path) -> FloodModel:
    """Load a file that :func:`save_checkpoint` wrote. The model is on the CPU, in evaluation mode.

    Raises:
        CheckpointError: the file is missing or damaged, holds code, or is not a floodseg checkpoint.
    """
    if not path.is_file():
        raise CheckpointError(f"{path}: no such checkpoint; give a run folder, a .pth file or a shipped model's name")
    if path.suffix == ".safetensors":
        raise CheckpointError(f"{path}: {NO_DESCRIPTION}")
    document = safe_load(path)
    if not isinstance(document, dict) or "description" not in document or "state" not in document:
        raise CheckpointError(
            f"{path}: is not a floodseg checkpoint ({_summary(document)}, without a description of the model); use a "
            "file that floodseg train wrote, such as best_model.pth of a run folder"
        )
    return _build_with_state(document["description"], document["state"], path)


def load_path(path: str | Path) -> FloodModel:
    """Load a model from a run folder, a weights folder or a checkpoint file. It is on the CPU, in evaluation mode.

    Raises:
        CheckpointError: the model does not exist or cannot be read.
    """
    path = find_path(path)
    return load_folder(path) if path.is_dir() else load_checkpoint(path)


def _summary(document: Any) -> str:
    """Summarise the content of a file that is not a checkpoint, for an error message."""
    if not isinstance(document, dict) or not document:
        return f"it holds {'nothing' if document in (None, {}, []) else f'a {type(document).__name__}'}"
    if all(isinstance(value, Tensor) for value in document.values()):
        return f"it holds {len(document)} named tensors"
    keys = ", ".join(f"'{key}'" for key in list(document)[:4])
    return f"it holds {keys}{', ...' if len(document) > 4 else ''}"


def save_folder(folder: Path, model: FloodModel) -> None:
    """Write ``model.safetensors`` and ``config.json`` into ``folder``."""
    with replacing(folder / WEIGHTS_FILE) as temporary:
        temporary.write_bytes(save(_cpu_state(model)))
    write_text(folder / CONFIG_FILE, json.dumps(describe(model), indent=2) + "\n")


def _cpu_state(model: FloodModel) -> dict[str, Tensor]:
    return {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}


def load_folder(folder: Path) -> FloodModel:
    """Load a folder that :func:`save_folder` wrote. The model is on the CPU, in evaluation mode.

    Raises:
        CheckpointError: a file is missing, damaged, or does not fit the architecture.
    """
    description = read_description(folder)
    try:
        state = load_file(folder / WEIGHTS_FILE)
    except (OSError, SafetensorError) as error:
        weights = folder / WEIGHTS_FILE
        if not weights.is_file():
            raise CheckpointError(f"{weights}: is missing; copy the folder again") from error
        problem = "is truncated or damaged" if weights.stat().st_size else "is empty (0 bytes)"
        raise CheckpointError(f"{weights}: {problem} ({error}); copy the folder again") from error
    return _build_with_state(description, state, folder)


def _build_with_state(description: Any, state: Any, source: Path) -> FloodModel:
    """Return the described model with the tensors of ``state``, in evaluation mode."""
    model = _build(description, source)
    load_state(model, state, source)
    return model.eval()


def _build(description: Any, source: Path) -> FloodModel:
    """Build the described model, and its specialists from their own descriptions."""
    if not isinstance(description, dict) or description.get("format") != FORMAT:
        raise CheckpointError(f"{source}: does not describe a floodseg model; use a checkpoint that floodseg wrote")
    if description.get("format_version") != FORMAT_VERSION:
        raise CheckpointError(
            f"{source}: has format version {description.get('format_version')}, but this floodseg reads "
            f"{FORMAT_VERSION}; install the version that wrote it"
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
        # older checkpoints have no such key
        model.set_context_prior(float(description.get("context_prior", 0.0)))
        specialists = _specialist_descriptions(description)
    except (LookupError, TypeError, ValueError, RuntimeError, ConfigError, CheckpointError) as error:
        problem = str(error).partition("; ")[0]  # without the remedy of an error of floodseg
        raise CheckpointError(
            f"{source}: its description is incomplete ({problem}); use a checkpoint that floodseg wrote"
        ) from error
    if specialists:
        sar, optical = (_build(each, source) for each in specialists)
        try:
            model = MultiSensorModel(model, sar, optical)
        except ConfigError as error:
            raise CheckpointError(
                f"{source}: its specialists do not fit the fused model ({error}); use a checkpoint that floodseg wrote"
            ) from error
    return model


def _specialist_descriptions(description: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the descriptions of the radar and the optical specialist, which must not have specialists themselves."""
    specialists = description.get("specialists")
    return [] if specialists is None else [{**specialists[sensor], "specialists": None} for sensor in SENSORS]


def load_state(model: FloodModel, state: dict[str, Tensor], source: Path) -> None:
    """Copy ``state`` into ``model``. It must have exactly the model's tensors, with finite values.

    Raises:
        CheckpointError: a tensor is missing, belongs to another architecture, or has NaN or infinite values.
    """
    try:
        # the saved state of a specialist lacks the empty tensors of the other sensor
        empty = {name: tensor for name, tensor in model.state_dict().items() if not tensor.numel()}
        model.load_state_dict(empty | state)
    except (RuntimeError, AttributeError, TypeError) as error:
        encoder = f" with encoder {model.spec.encoder}" if model.spec.encoder else ""
        raise CheckpointError(
            f"{source}: its tensors are not those of '{model.spec.architecture}'{encoder}; "
            "load it with the floodseg version that wrote it"
        ) from error
    for name, tensor in model.state_dict().items():
        if not tensor.isfinite().all():
            raise CheckpointError(
                f"{source}: its tensor '{name}' holds NaN or infinite values; copy it again, or train it again"
            )
