"""Inputs of a model: checks of images and validity, and empty images for missing sensors."""

from typing import NamedTuple

import torch
from torch import Tensor

from floodseg.bands import Bands, Sensor
from floodseg.errors import ConfigError
from floodseg.messages import SENSOR_NAMES


class Inputs(NamedTuple):
    """Images and validity of both sensors. A sensor that the model does not take has 0 channels and no valid pixel."""

    sar: Tensor
    """(N, C_sar, H, W), floating point."""
    optical: Tensor
    """(N, C_optical, H, W), floating point."""
    sar_valid: Tensor
    """(N, 1, H, W), bool before normalisation, floating point (0 or 1) after it."""
    optical_valid: Tensor
    """The same for the optical image."""


def complete_inputs(
    bands: Bands, sar: Tensor | None, optical: Tensor | None, sar_valid: Tensor | None, optical_valid: Tensor | None
) -> Inputs:
    """Return images and bool validity of both sensors. A sensor that is None becomes an image of invalid pixels.

    ``bands`` are those of the model. The other arguments are those of :meth:`floodseg.models.model.FloodModel.forward`.

    Raises:
        ConfigError: both images are None, an image does not fit the model or the other image, or validity has the wrong
            shape or type.
    """
    like = sar if sar is not None else optical
    if like is None:
        raise ConfigError("the model was called without an image; pass sar, optical or both")
    sar, sar_valid = _complete("sar", bands, sar, sar_valid, like)
    optical, optical_valid = _complete("optical", bands, optical, optical_valid, like)
    return Inputs(sar, optical, sar_valid, optical_valid)


def _complete(
    sensor: Sensor, bands: Bands, image: Tensor | None, valid: Tensor | None, like: Tensor
) -> tuple[Tensor, Tensor]:
    """Return image and validity of one sensor, with the N, H and W of ``like``."""
    names = bands.names(sensor)
    batch, height, width = like.shape[0], like.shape[-2], like.shape[-1]
    if image is None or (not names and image.shape[1] == 0):
        empty = torch.zeros((batch, len(names), height, width), device=like.device)
        return empty, torch.zeros((batch, 1, height, width), dtype=torch.bool, device=like.device)
    _check_image(sensor, names, image, like)
    if valid is None:
        valid = torch.isfinite(image).all(dim=1, keepdim=True)
    if valid.dtype != torch.bool or valid.shape != (batch, 1, height, width):
        raise ConfigError(
            f"{SENSOR_NAMES[sensor]} validity of shape {tuple(valid.shape)} and type {valid.dtype} for an image of "
            f"shape {tuple(image.shape)}: must be bool (N, 1, H, W)"
        )
    return image, valid


def _check_image(sensor: Sensor, names: tuple[str, ...], image: Tensor, like: Tensor) -> None:
    """Raise ConfigError unless an image has the number of bands of the model and the N, H and W of ``like``."""
    if image.ndim != 4:
        raise ConfigError(
            f"{SENSOR_NAMES[sensor]} image of shape {tuple(image.shape)}: must be (N, C, H, W); add the axis N with "
            "[None]"
        )
    if image.shape[1] != len(names):
        expected = f"{len(names)} ({', '.join(names)})" if names else "none"
        raise ConfigError(
            f"{SENSOR_NAMES[sensor]} image with {image.shape[1]} channels: the model takes {expected}; select these "
            "bands in this order, or use another model"
        )
    if image.shape[0] != like.shape[0] or image.shape[2:] != like.shape[2:]:
        raise ConfigError(
            f"{SENSOR_NAMES[sensor]} image of shape {tuple(image.shape)}, and another image of shape "
            f"{tuple(like.shape)}: both must have the same N, H and W; resample one to the grid of the other"
        )
