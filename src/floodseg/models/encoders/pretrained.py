"""Pretrained weights of encoders: from a file or the Hugging Face Hub, or none.

Pretrained weights are not overwritten, because each new layer initialises itself alone, and the encoder is loaded when
it is built.
"""

import importlib
import logging
import os
import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import timm
import torch
from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url, try_to_load_from_cache
from safetensors import SafetensorError
from timm.models import load_state_dict, model_entrypoint
from torch import Tensor, nn

from floodseg.errors import CheckpointError, ConfigError

_logger = logging.getLogger(__name__)

Pretrained = str | Path | None
"""``auto``, ``required``, ``none`` (the same as None), or a file of encoder weights (.safetensors, .pth)."""

HUB_FILE = "model.safetensors"
"""File of the weights of a timm encoder on the hub, unless timm names another."""

IMAGE_CHANNELS = 3
"""Channels of the images that pretrained encoders were made for."""

CONNECT_SECONDS = 10.0
"""Limit for the hub's first answer; without one, ``auto`` starts from scratch."""


class _UnavailableError(Exception):
    """Weights that are not available; the message is the reason."""


@dataclass(frozen=True)
class PretrainedRecord:
    """Origin of an encoder's weights.

    ``requested`` is auto, required, none or the file; ``source`` is where the weights come from (``scratch`` if none
    were loaded); ``warning`` is set if ``auto`` started from scratch.
    """

    requested: str
    loaded: bool
    source: str
    warning: str | None = None


def load_encoder_weights(body: nn.Module, name: str, pretrained: Pretrained) -> PretrainedRecord:
    """Load pretrained weights into ``body``, a timm features-only encoder of any multiple of three input channels.

    The weight of the first convolution is copied unscaled to every three input channels. Weights that the encoder does
    not have (classifier, stages cut off) are ignored.

    Raises:
        ConfigError: ``pretrained`` is neither one of the words nor a file.
        CheckpointError: the weights are required and not available, or they do not fit the encoder.
    """
    _activate_residual_branches(body)
    if pretrained is None or pretrained == "none":
        return PretrainedRecord("none", loaded=False, source="scratch")
    if pretrained not in ("auto", "required"):
        file = Path(pretrained)
        if not file.is_file():
            raise ConfigError(
                f"`pretrained={file}`: must be auto, required, none or an existing file of encoder weights; "
                "check the path"
            )
        _fill(body, name, _read(file), str(file))
        return PretrainedRecord(str(file), loaded=True, source=str(file))
    try:
        file, source = _download(name)
        state = _read(file)
    except (_UnavailableError, CheckpointError) as error:
        return _from_scratch(name, str(pretrained), error)
    _fill(body, name, state, source)
    return PretrainedRecord(str(pretrained), loaded=True, source=source)


@torch.no_grad()
def _activate_residual_branches(body: nn.Module) -> None:
    """Set to 1 the scales that timm initialises to 0, the last of each residual branch.

    At 0 they leave the layers of the branch without a gradient in the first step.
    """
    for layer in body.modules():
        if isinstance(layer, nn.BatchNorm2d) and not layer.weight.any():
            nn.init.ones_(layer.weight)


def _from_scratch(name: str, requested: str, reason: Exception) -> PretrainedRecord:
    """Return the record of an encoder without pretrained weights, or raise CheckpointError if they are required."""
    if requested == "required":
        raise CheckpointError(
            f"`pretrained` required: the weights of encoder '{name}' cannot be had ({reason}); "
            "connect to the network, give a file of weights, or use `pretrained` auto"
        ) from reason
    warning = f"encoder '{name}' starts from scratch: its pretrained weights cannot be had ({reason})"
    _logger.warning(warning)
    return PretrainedRecord(requested, loaded=False, source="scratch", warning=warning)


def _download(name: str) -> tuple[Path, str]:
    """Return the file of timm's weights of an encoder, from the cache or the hub, and the name of their source.

    Raises:
        _UnavailableError: the hub does not have them or cannot be reached.
    """
    config = timm.get_pretrained_cfg(name)
    if config is None or not config.hf_hub_id:
        where = f": download {config.url} and give that file" if config and config.url else ""
        raise _UnavailableError(f"the Hugging Face Hub has none{where}")
    repository, _, revision = config.hf_hub_id.partition("@")
    filename = config.hf_hub_filename or HUB_FILE
    source = f"{config.hf_hub_id}/{filename}"
    cached = try_to_load_from_cache(repository, filename, revision=revision or None)
    if isinstance(cached, str):
        return Path(cached), source
    endpoint = os.environ.get("HF_ENDPOINT")
    url = hf_hub_url(repository, filename, revision=revision or None, endpoint=endpoint)
    try:
        # asked once first: the download itself would try an unreachable hub for half a minute
        get_hf_file_metadata(url, token=False, timeout=CONNECT_SECONDS, endpoint=endpoint)
        file = hf_hub_download(repository, filename, revision=revision or None, endpoint=endpoint, token=False)
    except Exception as error:  # errors of the hub's transport have no base class in common
        raise _UnavailableError((str(error).splitlines() or [type(error).__name__])[0]) from error
    return Path(file), source


def _read(file: Path) -> Mapping[str, Tensor]:
    try:
        state = load_state_dict(str(file), weights_only=True)
    except (OSError, RuntimeError, ValueError, KeyError, EOFError, pickle.UnpicklingError, SafetensorError) as error:
        raise CheckpointError(
            f"{file}: is not a readable file of weights ({str(error).splitlines()[0]}); "
            "it must be a .safetensors or .pth file of tensors by name, so save the state dict again"
        ) from error
    return {key: value for key, value in state.items() if isinstance(value, Tensor)}


def _flat(key: str) -> str:
    """Return a weight's name in a form that timm's feature wrappers, which rename ``a.0`` to ``a_0``, do not change."""
    return key.removeprefix("model.").removeprefix("body.").replace(".", "_")


@torch.no_grad()
def _fill(body: nn.Module, name: str, state: Mapping[str, Tensor], source: str) -> None:
    """Copy the weights of an encoder from ``state`` into ``body``, or raise CheckpointError if one is missing."""
    available = {_flat(key): value for key, value in _to_current_names(name, state).items()}
    own = {key: value for key, value in body.state_dict().items() if not key.endswith("num_batches_tracked")}
    missing = [key for key in own if _flat(key) not in available]
    if missing:
        raise CheckpointError(
            f"{source}: lacks {len(missing)} of {len(own)} weights of encoder '{name}' ({_some(missing)}); "
            "the file must come from this very encoder"
        )
    fitted = {key: _fit(available[_flat(key)], value) for key, value in own.items()}
    wrong = [
        f"{key} is {tuple(available[_flat(key)].shape)}, must be {tuple(own[key].shape)}"
        for key, value in fitted.items()
        if value.shape != own[key].shape
    ]
    if wrong:
        raise CheckpointError(
            f"{source}: weights of another shape than encoder '{name}' has ({_some(wrong)}); "
            "the file must come from this very encoder"
        )
    body.load_state_dict(fitted, strict=False)


def _fit(value: Tensor, target: Tensor) -> Tensor:
    """Repeat the input channels of an image stem, (C, 3, kh, kw) -> (C, 3 * n, kh, kw); return other weights as is."""
    if value.ndim == 4 and value.shape[1] == IMAGE_CHANNELS and target.shape[1] % IMAGE_CHANNELS == 0:
        return value.repeat(1, target.shape[1] // IMAGE_CHANNELS, 1, 1)
    return value


def _some(items: list[str], most: int = 3) -> str:
    return ", ".join(items[:most]) + (", ..." if len(items) > most else "")


def _to_current_names(name: str, state: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """Apply timm's conversion of older weight files, if the encoder's family has one."""
    convert = getattr(importlib.import_module(model_entrypoint(name).__module__), "checkpoint_filter_fn", None)
    if convert is None:
        return state
    with torch.device("meta"):  # only its shapes are needed
        reference = timm.create_model(name, pretrained=False)
    converted: Mapping[str, Tensor] = convert(dict(state), reference)
    return converted
