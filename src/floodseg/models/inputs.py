"""Inputs of a model: checks of images and validity, and the replacement of missing sensors by invalid pixels."""

from typing import NamedTuple

import torch
from torch import Tensor

from floodseg.bands import Bands, Sensor
from floodseg.errors import ConfigError


class Inputs(NamedTuple):
    """Both sensors and their validity; a sensor that is not part of the model has 0 channels and no valid pixel."""

    sar: Tensor
    """(N, C_sar, H, W), floating point."""
    optical: Tensor
    """(N, C_optical, H, W), floating point."""
    sar_valid: Tensor
    """(N, 1, H, W), bool beside images in physical units, floating point (0 or 1) beside normalised ones."""
    optical_valid: Tensor
    """The same for the optical image."""


def complete_inputs(
    bands: Bands, sar: Tensor | None, optical: Tensor | None, sar_valid: Tensor | None, optical_valid: Tensor | None
) -> Inputs:
    """Return both sensors in full with bool validity: invalid pixels replace a sensor that is None.

    Arguments are ``bands`` of the model, and those of :meth:`floodseg.models.model.FloodModel.forward`.

    Raises:
        ConfigError: there is no image, an image does not fit the model or the other image, or validity has the wrong
            shape or type.
    """
    like = sar if sar is not None else optical
    if like is None:
        raise ConfigError("the model was called without an image: give sar, optical or both")
    sar, sar_valid = _complete("sar", bands, sar, sar_valid, like)
    optical, optical_valid = _complete("optical", bands, optical, optical_valid, like)
    return Inputs(sar, optical, sar_valid, optical_valid)


def _complete(
    sensor: Sensor, bands: Bands, image: Tensor | None, valid: Tensor | None, like: Tensor
) -> tuple[Tensor, Tensor]:
    """Return image and validity of one sensor on the grid of ``like``."""
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
            f"{sensor} validity of shape {tuple(valid.shape)} and type {valid.dtype} for an image of shape "
            f"{tuple(image.shape)}: must be bool (N, 1, H, W)"
        )
    return image, valid


def _check_image(sensor: Sensor, names: tuple[str, ...], image: Tensor, like: Tensor) -> None:
    """Raise ConfigError if an image has other bands than the model, or another grid than ``like``."""
    if image.ndim != 4:
        raise ConfigError(
            f"{sensor} image of shape {tuple(image.shape)}: must be (N, C, H, W); add the axis N with [None]"
        )
    if image.shape[1] != len(names):
        expected = f"{len(names)} ({', '.join(names)})" if names else "none"
        raise ConfigError(
            f"{sensor} image with {image.shape[1]} channels given to a model that takes {expected}: "
            "select those bands in that order, or use a model trained for these"
        )
    if image.shape[0] != like.shape[0] or image.shape[2:] != like.shape[2:]:
        raise ConfigError(
            f"{sensor} image of shape {tuple(image.shape)} beside one of shape {tuple(like.shape)}: both must have "
            "the same N, H and W; bring them to one grid first"
        )
