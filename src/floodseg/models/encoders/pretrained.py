"""Pretrained weights of encoders, from a file or the Hugging Face Hub.

The weights are loaded when the encoder is built. Later initialisation only concerns new layers.
"""

import importlib
import logging
import os
import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url, try_to_load_from_cache
from safetensors import SafetensorError
from torch import Tensor, nn

from floodseg.errors import CheckpointError, ConfigError

_LOG = logging.getLogger(__name__)

Pretrained = str | Path | None
"""``auto``, ``required``, ``none`` (the same as None), or a file of encoder weights (.safetensors, .pth)."""

HUB_FILE = "model.safetensors"
"""Default name of a file of weights on the hub."""

IMAGE_CHANNELS = 3
"""Input channels of pretrained encoders: red, green and blue."""

CONNECT_SECONDS = 10.0
"""Timeout in seconds for the first response of the hub."""


class _UnavailableError(Exception):
    """Weights are not available. The message is the reason; ``remedy`` is None if a connection to the hub may help."""

    def __init__(self, reason: str, remedy: str | None = None) -> None:
        super().__init__(reason)
        self.remedy = remedy


@dataclass(frozen=True)
class PretrainedRecord:
    """Origin of an encoder's weights.

    Attributes:
        requested: ``auto``, ``required``, ``none`` or the file.
        loaded: True if pretrained weights were loaded.
        source: file or hub address of the weights; ``scratch`` for new weights.
        warning: warning of ``auto`` if the weights were not available.
    """

    requested: str
    loaded: bool
    source: str
    warning: str | None = None


def load_encoder_weights(body: nn.Module, name: str, pretrained: Pretrained) -> PretrainedRecord:
    """Load pretrained weights into ``body``, a timm ``features_only`` encoder with 3, 6, ... input channels.

    The weight of the first convolution is copied to each group of three input channels without scaling. Weights of
    layers that the encoder does not have (classifier, removed stages) are ignored.

    Raises:
        ConfigError: ``pretrained`` is neither ``auto``, ``required``, ``none`` nor an existing file.
        CheckpointError: required weights are not available, or weights do not fit the encoder.
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
        _copy_weights(body, name, _read_weights(file), str(file))
        return PretrainedRecord(str(file), loaded=True, source=str(file))
    try:
        file, source = _download(name)
        state = _read_weights(file)
    except (_UnavailableError, CheckpointError) as error:
        return _from_scratch(name, str(pretrained), error)
    _copy_weights(body, name, state, source)
    return PretrainedRecord(str(pretrained), loaded=True, source=source)


@torch.no_grad()
def _activate_residual_branches(body: nn.Module) -> None:
    """Set to 1 the last scale of each residual branch, which timm initialises to 0.

    A scale of 0 leaves the layers of the branch without a gradient in the first step.
    """
    for layer in body.modules():
        if isinstance(layer, nn.BatchNorm2d) and not layer.weight.any():
            nn.init.ones_(layer.weight)


def _from_scratch(name: str, requested: str, reason: Exception) -> PretrainedRecord:
    """Return the record of an encoder without pretrained weights, or raise CheckpointError if they are required."""
    remedy = reason.remedy if isinstance(reason, _UnavailableError) else None
    if requested == "required":
        raise CheckpointError(
            f"`pretrained=required`: the weights of encoder '{name}' are not available ({reason}); "
            f"{remedy or 'connect to the network, give a file of weights, or set `pretrained=auto`'}"
        ) from reason
    warning = f"encoder '{name}' starts from scratch: its pretrained weights are not available ({reason})"
    if remedy:
        warning += f"; {remedy}"
    _LOG.warning(warning)
    return PretrainedRecord(requested, loaded=False, source="scratch", warning=warning)


def _download(name: str) -> tuple[Path, str]:
    """Return timm's file of weights of an encoder, from the cache or the hub, and its hub address.

    Raises:
        _UnavailableError: the hub does not have the file or does not respond.
    """
    import timm

    config = timm.get_pretrained_cfg(name)
    if config is None or not config.hf_hub_id:
        url = config.url if config else None
        raise _UnavailableError(
            "the Hugging Face Hub has none", url and f"download {url} and set `pretrained` to that file"
        )
    repository, _, revision = config.hf_hub_id.partition("@")
    filename = config.hf_hub_filename or HUB_FILE
    source = f"{config.hf_hub_id}/{filename}"
    cached = try_to_load_from_cache(repository, filename, revision=revision or None)
    if isinstance(cached, str):
        return Path(cached), source
    endpoint = os.environ.get("HF_ENDPOINT")
    url = hf_hub_url(repository, filename, revision=revision or None, endpoint=endpoint)
    try:
        # one request first, because the download itself retries an unreachable hub for half a minute
        get_hf_file_metadata(url, token=False, timeout=CONNECT_SECONDS, endpoint=endpoint)
        file = hf_hub_download(repository, filename, revision=revision or None, endpoint=endpoint, token=False)
    except Exception as error:  # errors of the hub's transport have no common base class
        raise _UnavailableError((str(error).splitlines() or [type(error).__name__])[0]) from error
    return Path(file), source


def _read_weights(file: Path) -> Mapping[str, Tensor]:
    from timm.models import load_state_dict

    try:
        state = load_state_dict(str(file), weights_only=True)
    except (OSError, RuntimeError, ValueError, KeyError, EOFError, pickle.UnpicklingError, SafetensorError) as error:
        raise CheckpointError(
            f"{file}: is not a readable file of weights ({str(error).splitlines()[0]}); "
            "save the state dict as a .safetensors or .pth file"
        ) from error
    return {key: value for key, value in state.items() if isinstance(value, Tensor)}


def _comparable(key: str) -> str:
    """Return a weight's name in a form for comparison: timm's feature wrappers rename ``a.0`` to ``a_0``."""
    return key.removeprefix("model.").removeprefix("body.").replace(".", "_")


@torch.no_grad()
def _copy_weights(body: nn.Module, name: str, state: Mapping[str, Tensor], source: str) -> None:
    """Copy the weights of an encoder from ``state`` into ``body``.

    Raises:
        CheckpointError: a weight is missing or has another shape.
    """
    available = {_comparable(key): value for key, value in _to_current_names(name, state).items()}
    needed = {key: value for key, value in body.state_dict().items() if not key.endswith("num_batches_tracked")}
    missing = [key for key in needed if _comparable(key) not in available]
    if missing:
        raise CheckpointError(
            f"{source}: lacks {len(missing)} of {len(needed)} weights of encoder '{name}' ({_first_three(missing)}); "
            "use a file of this encoder"
        )
    fitted = {key: _repeat_image_channels(available[_comparable(key)], value) for key, value in needed.items()}
    wrong = [
        f"{key} is {tuple(available[_comparable(key)].shape)}, must be {tuple(needed[key].shape)}"
        for key, value in fitted.items()
        if value.shape != needed[key].shape
    ]
    if wrong:
        raise CheckpointError(
            f"{source}: has weights whose shapes differ from those of encoder '{name}' ({_first_three(wrong)}); use a "
            "file of this encoder"
        )
    body.load_state_dict(fitted, strict=False)


def _repeat_image_channels(value: Tensor, target: Tensor) -> Tensor:
    """Repeat the input channels of an image stem, (C, 3, kh, kw) -> (C, 3 * n, kh, kw). Return other weights as is."""
    if value.ndim == 4 and value.shape[1] == IMAGE_CHANNELS and target.shape[1] % IMAGE_CHANNELS == 0:
        return value.repeat(1, target.shape[1] // IMAGE_CHANNELS, 1, 1)
    return value


def _first_three(items: list[str]) -> str:
    return ", ".join(items[:3]) + (", ..." if len(items) > 3 else "")


def _to_current_names(name: str, state: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """Convert the names in an older file of weights, if the encoder's family in timm has a conversion."""
    import timm

    convert = getattr(
        importlib.import_module(timm.models.model_entrypoint(name).__module__), "checkpoint_filter_fn", None
    )
    if convert is None:
        return state
    with torch.device("meta"):  # the conversion only needs shapes
        reference = timm.create_model(name, pretrained=False)
    converted: Mapping[str, Tensor] = convert(dict(state), reference)
    return converted
