"""What the weights of a network start from: ImageNet weights that really arrive, or Kaiming initialisation.

Pretrained weights are kept because initialisation is only ever called on new layers, by those who make them, and the
encoder is loaded when it is built.
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
from huggingface_hub import constants, hf_hub_url, try_to_load_from_cache
from safetensors import SafetensorError
from timm.models import load_state_dict, model_entrypoint
from torch import Tensor, nn

from floodseg.errors import CheckpointError, ConfigError
from floodseg.models.encoders.download import DownloadError, download

_logger = logging.getLogger(__name__)

Pretrained = str | Path | None
"""``auto``, ``required``, ``none`` (the same as None), or a file of encoder weights (.safetensors, .pth)."""

HUB_FILE = "model.safetensors"
"""The file in which the hub holds the weights of a timm encoder, unless timm names another."""

IMAGE_CHANNELS = 3
"""Channels of the images that pretrained encoders were made for."""


@dataclass(frozen=True)
class PretrainedRecord:
    """What was asked of the encoder's weights, and what came of it.

    ``requested`` is auto, required, none or the file; ``source`` says where the weights are from (``scratch`` where
    none were loaded); ``warning`` is set where ``auto`` had to go on without them.
    """

    requested: str
    loaded: bool
    source: str
    warning: str | None = None


def load_encoder_weights(body: nn.Module, name: str, pretrained: Pretrained) -> PretrainedRecord:
    """Load pretrained weights into ``body``, a timm features-only encoder of any multiple of three input channels.

    The weight of the first convolution is copied unscaled to every three input channels. Weights that the encoder does
    not have (classifier, stages cut off) are left aside.

    Raises:
        ConfigError: ``pretrained`` is neither one of the words nor a file.
        CheckpointError: the weights are required but cannot be had, or they do not fit the encoder.
    """
    _wake_residual_branches(body)
    if pretrained is None or pretrained == "none":
        return PretrainedRecord("none", loaded=False, source="scratch")
    if pretrained not in ("auto", "required"):
        file = Path(pretrained)
        if not file.is_file():
            raise ConfigError(
                f"--pretrained {file}: must be auto, required, none or an existing file of encoder weights; "
                "check the path"
            )
        _fill(body, name, _read(file), str(file))
        return PretrainedRecord(str(file), loaded=True, source=str(file))
    try:
        state, source = _obtain(name)
    except (DownloadError, CheckpointError) as error:
        return _without(name, str(pretrained), error)
    _fill(body, name, state, source)
    return PretrainedRecord(str(pretrained), loaded=True, source=source)


@torch.no_grad()
def _wake_residual_branches(body: nn.Module) -> None:
    """Set to 1 the scales that timm starts at 0, the last of each residual branch.

    At 0 they keep the layers of the branch without a gradient in the first step.
    """
    for layer in body.modules():
        if isinstance(layer, nn.BatchNorm2d) and not layer.weight.any():
            nn.init.ones_(layer.weight)


def _without(name: str, requested: str, reason: Exception) -> PretrainedRecord:
    if requested == "required":
        raise CheckpointError(
            f"--pretrained required: the weights of encoder '{name}' cannot be had ({reason}); "
            "connect to the network, give a file of weights, or use --pretrained auto"
        ) from reason
    warning = f"encoder '{name}' starts from scratch: its pretrained weights cannot be had ({reason})"
    _logger.warning(warning)
    return PretrainedRecord(requested, loaded=False, source="scratch", warning=warning)


def _obtain(name: str) -> tuple[Mapping[str, Tensor], str]:
    """Return timm's weights of an encoder, from a cache or the network, and the name of their source."""
    config = timm.get_pretrained_cfg(name)
    if config is None or not (config.hf_hub_id or config.url):
        raise DownloadError("timm knows none")
    if not config.hf_hub_id:
        url = config.url[0] if isinstance(config.url, tuple) else str(config.url)  # or url and file name
        return _download(url, Path(url).name), url
    repository, _, revision = config.hf_hub_id.partition("@")
    filename = config.hf_hub_filename or HUB_FILE
    source = f"{config.hf_hub_id}/{filename}"
    cached = try_to_load_from_cache(repository, filename, revision=revision or None)
    if isinstance(cached, str):
        return _read(Path(cached)), source
    if constants.HF_HUB_OFFLINE:
        raise DownloadError("HF_HUB_OFFLINE is set and they are not in the cache")
    url = hf_hub_url(repository, filename, revision=revision or None, endpoint=os.environ.get("HF_ENDPOINT"))
    return _download(url, source.replace("/", "--")), source


def _download(url: str, filename: str) -> Mapping[str, Tensor]:
    file = download(url, filename)
    try:
        return _read(file)
    except CheckpointError:
        file.unlink()  # such as the log-in page of a network, which must not be taken for the weights next time
        raise


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
    """Return the form of a weight's name that timm's feature wrappers, which rename ``a.0`` to ``a_0``, leave alone."""
    return key.removeprefix("model.").removeprefix("body.").replace(".", "_")


@torch.no_grad()
def _fill(body: nn.Module, name: str, state: Mapping[str, Tensor], source: str) -> None:
    """Copy ``state`` into ``body``, all of it that the encoder has, or raise."""
    given = {_flat(key): value for key, value in _to_current_names(name, state).items()}
    own = {key: value for key, value in body.state_dict().items() if not key.endswith("num_batches_tracked")}
    missing = [key for key in own if _flat(key) not in given]
    if missing:
        raise CheckpointError(
            f"{source}: lacks {len(missing)} of {len(own)} weights of encoder '{name}' ({_some(missing)}); "
            "the file must come from this very encoder"
        )
    fitted = {key: _fit(given[_flat(key)], value) for key, value in own.items()}
    wrong = [
        f"{key} is {tuple(given[_flat(key)].shape)}, must be {tuple(own[key].shape)}"
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
    """Repeat the input channels of a stem made for images, (C, 3, kh, kw) -> (C, 3 * n, kh, kw); leave all else."""
    if value.ndim == 4 and value.shape[1] == IMAGE_CHANNELS and target.shape[1] % IMAGE_CHANNELS == 0:
        return value.repeat(1, target.shape[1] // IMAGE_CHANNELS, 1, 1)
    return value


def _some(items: list[str], most: int = 3) -> str:
    return ", ".join(items[:most]) + (", ..." if len(items) > most else "")


def _to_current_names(name: str, state: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """Apply timm's own conversion of older weight files of an encoder's family, where it has one."""
    convert = getattr(importlib.import_module(model_entrypoint(name).__module__), "checkpoint_filter_fn", None)
    if convert is None:
        return state
    with torch.device("meta"):  # only its shapes are needed
        reference = timm.create_model(name, pretrained=False)
    converted: Mapping[str, Tensor] = convert(dict(state), reference)
    return converted
