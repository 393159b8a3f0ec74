"""Lineage of a run: the trained models that it starts from, learns from or contains."""

import hashlib
from pathlib import Path
from typing import Any

from floodseg.config.train import TrainConfig
from floodseg.errors import ConfigError
from floodseg.models.model import FloodModel
from floodseg.models.specialists.multi_sensor import specialists_of
from floodseg.training.run_folder import SPECIALISTS

NamedModel = tuple[str, FloodModel]
"""A model and the name that the user gave it by."""


def model_record(name: str, model: FloodModel) -> dict[str, Any]:
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


def check_event(flag: str, name: str, model: FloodModel, held_out: str | None) -> None:
    """Refuse a model that may have been trained on the event that a run holds out.

    Raises:
        ConfigError: it was not trained without that event.
    """
    if held_out and model.provenance.training.get("hold_out_event") != held_out:
        raise ConfigError(
            f"`{flag}={name}`: may have learned from the event {held_out}, which is held out; give a model that was "
            f"trained with `hold_out_event={held_out}`, too"
        )


def check_overwriting(folder: Path, config: TrainConfig) -> None:
    """Refuse to overwrite a run from which the new one in the same folder is to learn.

    Specialists in the folder are kept where the new run names them and trains none itself.

    Raises:
        ConfigError: names the model that would be lost.
    """
    kept = None if config.model.trains_specialists else folder / SPECIALISTS
    for flag, name in _named(config):
        if _is_within(folder, name) and not (kept and _is_within(kept, name)):
            raise ConfigError(
                f"`{flag}={name}`: lies in the run folder {folder}, which `overwrite` clears; give another `out_dir`, "
                "or copy the model elsewhere first"
            )


def has_models_within(folder: Path, config: TrainConfig) -> bool:
    """Return whether a model that the settings name lies in a folder."""
    return any(_is_within(folder, name) for _, name in _named(config))


def _named(config: TrainConfig) -> list[tuple[str, str]]:
    """Return flag and name of each model that the settings name."""
    specialists = () if config.model.trains_specialists else config.model.specialists
    start = [("start-from", config.model.start_from)] if config.model.start_from else []
    teachers = [("teacher", name) for name in config.distil.teacher]
    return [*start, *(("specialists", name) for name in specialists), *teachers]


def _is_within(folder: Path, name: str) -> bool:
    path = Path(name)  # the name of a shipped model is no path
    return path.exists() and path.resolve().is_relative_to(folder.resolve())


def _checksum(model: FloodModel) -> str:
    """Return a SHA-256 over all tensors, decisions and context priors of a model and its specialists."""
    models = (model, *specialists_of(model).values())
    settings = [(each.decisions, each.context_prior and each.context_prior.strength) for each in models]
    checksum = hashlib.sha256(repr(settings).encode())
    for name, tensor in sorted(model.state_dict().items()):
        checksum.update(name.encode())
        checksum.update(tensor.cpu().contiguous().numpy().tobytes())
    return checksum.hexdigest()
