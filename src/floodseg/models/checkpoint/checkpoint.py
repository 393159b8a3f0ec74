"""Self-describing checkpoints: weights, architecture, bands, statistics, thresholds, training data and scores.

Two formats have the same content. Training writes one ``.pth`` file, which ``torch.load(weights_only=True)`` reads.
Shipped models are folders with ``model.safetensors`` and ``config.json``. Loading either format never runs code.
"""

import io
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from floodseg.bands import SENSORS, Bands
from floodseg.errors import CheckpointError
from floodseg.models.checkpoint.description import (
    FORMAT,
    FORMAT_VERSION,
    MULTI_SENSOR,
    WEIGHTS_FILE,
    check_format,
    description_errors,
    find_path,
    names_parts,
    read_description,
    verify_checksum,
    write_description,
)
from floodseg.models.checkpoint.safe_load import NO_DESCRIPTION, safe_load
from floodseg.models.cloud_detector import CloudDetector
from floodseg.models.decision import Decisions
from floodseg.models.log_odds_fusion import LogOddsFusion
from floodseg.models.model import FloodModel, Provenance
from floodseg.models.multi_sensor import AnyModel, MultiSensorModel, plain_models
from floodseg.models.registry import build_model
from floodseg.system.files import replacing

_Model = TypeVar("_Model", FloodModel, MultiSensorModel)


def describe(model: AnyModel) -> dict[str, Any]:
    """Return the description of a model as plain JSON values: everything except its tensors."""
    bands = model.spec.bands
    description = {
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
    if isinstance(model, FloodModel):
        return description | {"context_prior": model.context_prior.strength if model.context_prior else 0.0}
    description["parts"] = {name: describe(part) for name, part in plain_models(model).items()}
    if isinstance(model.fused, LogOddsFusion):
        return description | {"fusion": model.fused.to_json()}
    return description | {"cloud_detector": model.cloud_detector is not None}


def save_checkpoint(path: Path, model: AnyModel) -> None:
    """Write one self-describing ``.pth`` file; the file appears only when it is complete."""
    # torch.save reports a full disk as an internal error, so it writes to memory
    content = io.BytesIO()
    torch.save({"description": describe(model), "state": _cpu_state(model)}, content)
    with replacing(path) as temporary:
        temporary.write_bytes(content.getbuffer())


def load_checkpoint(path: Path) -> AnyModel:
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


def load_path(path: str | Path) -> AnyModel:
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


def save_folder(folder: Path, model: AnyModel) -> None:
    """Write ``model.safetensors`` and ``config.json`` into ``folder``; a multi-sensor model with all its parts."""
    with replacing(folder / WEIGHTS_FILE) as temporary:
        temporary.write_bytes(save(_cpu_state(model)))
    write_description(folder, describe(model))


def _cpu_state(model: AnyModel) -> dict[str, Tensor]:
    return {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}


def load_folder(folder: Path) -> AnyModel:
    """Load a folder that :func:`save_folder` wrote. The model is on the CPU, in evaluation mode.

    A shipped multi-sensor model without weights names its parts, which are folders beside its own.

    Raises:
        CheckpointError: a file is missing, damaged or changed, or does not fit the architecture.
    """
    description = read_description(folder)
    if names_parts(description):
        return _join_parts(description, folder)
    check_format(description, folder)
    weights = folder / WEIGHTS_FILE
    try:
        content = weights.read_bytes()
        state = load(content)
    except (OSError, SafetensorError) as error:
        if not weights.is_file():
            raise CheckpointError(f"{weights}: is missing; copy the folder again") from error
        problem = "is truncated or damaged" if weights.stat().st_size else "is empty (0 bytes)"
        raise CheckpointError(f"{weights}: {problem} ({error}); copy the folder again") from error
    verify_checksum(description, content, folder)
    return _build_with_state(description, state, folder)


def _join_parts(description: dict[str, Any], folder: Path) -> MultiSensorModel:
    """Return the multi-sensor model in ``folder``, whose parts are in folders beside it."""
    check_format(description, folder)
    with description_errors(folder):
        sar, optical = (folder.parent / description["parts"][sensor] for sensor in SENSORS)
        fusion = LogOddsFusion.from_json(description["fusion"])
        return _described(description, MultiSensorModel(_load_plain(sar), _load_plain(optical), fusion)).eval()


def _load_plain(folder: Path) -> FloodModel:
    model = None if names_parts(read_description(folder)) else load_folder(folder)
    if not isinstance(model, FloodModel):
        raise CheckpointError(f"{folder} is not the folder of a plain model")
    return model


def _build_with_state(description: Any, state: Any, source: Path) -> AnyModel:
    """Return the described model with the tensors of ``state``, in evaluation mode."""
    check_format(description, source)
    with description_errors(source):
        model = _build(description)
    load_state(model, state, source)
    return model.eval()


def _build(description: dict[str, Any]) -> AnyModel:
    """Build the described model, with the parts of a multi-sensor model from their own descriptions."""
    if description["architecture"] == MULTI_SENSOR:
        parts = {name: _build_plain(part) for name, part in description["parts"].items()}
        fused = parts["fused"] if "fused" in parts else LogOddsFusion.from_json(description["fusion"])
        bands = parts["sar"].spec.bands.sar, parts["optical"].spec.bands.optical
        detector = CloudDetector(*map(len, bands)) if description.get("cloud_detector") else None
        return _described(description, MultiSensorModel(parts["sar"], parts["optical"], fused, detector))
    return _build_plain(description)


def _build_plain(description: dict[str, Any]) -> FloodModel:
    bands = description["bands"]
    model = build_model(
        description["architecture"],
        encoder=description["encoder"],
        bands=Bands(tuple(bands["sar"]), tuple(bands["optical"]), bands["sar_unit"], bands["optical_unit"]),
    )
    # older checkpoints have no such key
    model.set_context_prior(float(description.get("context_prior", 0.0)))
    return _described(description, model)


def _described(description: dict[str, Any], model: _Model) -> _Model:
    """Set decisions and provenance of a model from its description, and return it."""
    model.decisions = Decisions.from_json(description["decisions"])
    model.provenance = Provenance(dict(description["training"]), dict(description["scores"]))
    return model


def load_state(model: AnyModel, state: dict[str, Tensor], source: Path) -> None:
    """Copy ``state`` into ``model``. It must have exactly the model's tensors, with finite values.

    Raises:
        CheckpointError: a tensor is missing, belongs to another architecture, or has NaN or infinite values.
    """
    try:
        # files of earlier versions hold the empty statistics of a sensor without bands
        model.load_state_dict({name: tensor for name, tensor in state.items() if tensor.numel()})
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
