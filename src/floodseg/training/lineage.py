"""Lineage of a run: trained models that it starts from, learns from or contains."""

import hashlib
from pathlib import Path
from typing import Any

from floodseg.config.train import TrainConfig
from floodseg.errors import ConfigError
from floodseg.models.checkpoint.zoo import load_model
from floodseg.models.log_odds_fusion import LogOddsFusion
from floodseg.models.model import FloodModel
from floodseg.models.multi_sensor import AnyModel, MultiSensorModel, plain_models
from floodseg.training.run_folder import SPECIALISTS

NamedModel = tuple[str, FloodModel]
"""The name of a plain model in the settings, and the model."""


def model_record(name: str, model: AnyModel) -> dict[str, Any]:
    """Return name, architecture, sensors, checksum of the weights and training data of a model, as plain values."""
    return {
        "model": name,
        "architecture": model.spec.architecture,
        "sensors": list(model.spec.bands.sensors),
        "sha256": _checksum(model),
        "trained_on": {
            key: model.provenance.training.get(key) for key in ("layout", "data", "hold_out_event")
        },
    }  # fmt: skip


def load_plain_model(setting: str, model: str | Path) -> FloodModel:
    """Return the model of a setting, which must not be a multi-sensor model.

    Raises:
        ConfigError: it is a multi-sensor model.
        CheckpointError: it does not exist or cannot be read.
    """
    loaded = load_model(model)
    if isinstance(loaded, MultiSensorModel):
        raise ConfigError(
            f"`{setting}={model}`: is a multi-sensor model, which is not trained further; set its radar model or its "
            "optical model"
        )
    return loaded


def check_event(setting: str, name: str, model: AnyModel, held_out: str | None) -> None:
    """Refuse a model that may have been trained on the event that a run holds out.

    Raises:
        ConfigError: the model was not trained with the same ``hold_out_event``.
    """
    if held_out and model.provenance.training.get("hold_out_event") != held_out:
        raise ConfigError(
            f"`{setting}={name}`: may have been trained on the event {held_out}, which is held out; choose a model "
            f"that was trained with `hold_out_event={held_out}`"
        )


def check_overwriting(folder: Path, config: TrainConfig) -> None:
    """Refuse to overwrite a run that contains a model that the new run's settings name.

    Specialists in the folder are kept if the new run names them.

    Raises:
        ConfigError: names the model that would be lost.
    """
    kept_folder = None if config.model.trains_specialists else folder / SPECIALISTS
    for setting, name in _models(config):
        if _is_within(folder, name) and not (kept_folder and _is_within(kept_folder, name)):
            raise ConfigError(
                f"`{setting}={name}`: lies in the run folder {folder}, which `overwrite` clears; set another "
                "`out_dir`, or copy the model elsewhere first"
            )


def has_models_within(folder: Path, config: TrainConfig) -> bool:
    """Return True if a model that the settings name lies in a folder."""
    return any(_is_within(folder, name) for _, name in _models(config))


def _models(config: TrainConfig) -> list[tuple[str, str]]:
    """Return setting and name of each model that the settings name."""
    specialists = () if config.model.trains_specialists else config.model.specialists
    start = [("start_from", config.model.start_from)] if config.model.start_from else []
    teachers = [("teacher", name) for name in config.distil.teacher]
    return [*start, *(("specialists", name) for name in specialists), *teachers]


def _is_within(folder: Path, name: str) -> bool:
    path = Path(name)  # a shipped model has a name, not a path
    return path.exists() and path.resolve().is_relative_to(folder.resolve())


def _checksum(model: AnyModel) -> str:
    """Return a SHA-256 of all tensors, decisions, context priors and fusion weights of a model."""
    settings: list[object] = [
        (each.decisions, each.context_prior and each.context_prior.strength) for each in plain_models(model).values()
    ]
    if isinstance(model, MultiSensorModel):
        fusion = model.fused.to_json() if isinstance(model.fused, LogOddsFusion) else None
        settings += [model.decisions, fusion]
    checksum = hashlib.sha256(repr(settings).encode())
    for name, tensor in sorted(model.state_dict().items()):
        checksum.update(name.encode())
        checksum.update(tensor.cpu().contiguous().numpy().tobytes())
    return checksum.hexdigest()
