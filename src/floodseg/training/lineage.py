"""Trained models that a run learns from or takes in: what is written down of them, and what they may know."""

import hashlib
from collections.abc import Callable
from typing import Any

from floodseg.errors import ConfigError
from floodseg.models.model import FloodModel
from floodseg.models.specialists.multi_sensor import specialists_of

FindModel = Callable[[str], FloodModel]
"""From what the user gives as MODEL to a loaded model."""


def facts(name: str, model: FloodModel) -> dict[str, Any]:
    """Return what a run writes down of a model: name, architecture, digest of its weights, what it was trained on."""
    return {
        "model": name,
        "architecture": model.spec.architecture,
        "sensors": list(model.spec.bands.sensors),
        "sha256": _digest(model),
        "trained_on": {
            key: model.provenance.training.get(key) for key in ("layout", "data", "hold_out_event")
        },
    }  # fmt: skip


def check_event(flag: str, name: str, model: FloodModel, held_out: str | None) -> None:
    """Refuse a model that may know the event which a run holds out.

    Raises:
        ConfigError: it was not trained without that event.
    """
    if held_out and model.provenance.training.get("hold_out_event") != held_out:
        raise ConfigError(
            f"--{flag} {name}: may have learned from the event {held_out}, which is held out; give a model that was "
            f"trained with --hold-out-event {held_out}, too"
        )


def _digest(model: FloodModel) -> str:
    """Return a SHA-256 over all tensors, decisions and context priors of a model and its specialists."""
    models = (model, *specialists_of(model).values())
    settings = [(each.decisions, each.context_prior and each.context_prior.strength) for each in models]
    digest = hashlib.sha256(repr(settings).encode())
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
