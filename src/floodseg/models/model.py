"""Flood model: a network with its normalisation, decisions and provenance."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import torch
from torch import Tensor, nn

from floodseg.bands import Bands, BandStatistics
from floodseg.errors import ConfigError
from floodseg.models.context_prior import ContextPrior
from floodseg.models.decision import Decisions
from floodseg.models.inputs import Inputs, complete_inputs
from floodseg.models.normaliser import new_normaliser
from floodseg.models.pretrained_model import PretrainedModel


@dataclass(frozen=True)
class ModelSpec:
    """Architecture, encoder and bands of a model; saved with every checkpoint."""

    architecture: str
    encoder: str | None
    bands: Bands


@dataclass
class Provenance:
    """Origin of the weights, as plain JSON values; saved with every checkpoint."""

    training: dict[str, Any] = field(default_factory=dict)
    scores: dict[str, Any] = field(default_factory=dict)


class FloodModel(PretrainedModel):
    """A network with its normalisation, decisions and provenance: dB and reflectance in, logits out.

    ::

        sar, optical, validity -> normalise -> network -> context prior (only in evaluation mode) -> logits

    The network takes normalised images (N, C, H, W), exactly 0 where invalid, and validity (N, 1, H, W) as floating
    point numbers, 0 or 1. A sensor that the model does not take has 0 channels.

    Attributes:
        spec: architecture, encoder and bands.
        decisions: threshold and temperature for each sensor set (see :mod:`floodseg.models.decision`).
        provenance: training data, settings and scores of the weights.
        context_prior: calibration by the share of water around a pixel, or None.
    """

    def __init__(
        self,
        network: nn.Module,
        spec: ModelSpec,
        sar_statistics: Sequence[BandStatistics] | None = None,
        optical_statistics: Sequence[BandStatistics] | None = None,
    ) -> None:
        super().__init__()
        self.spec = spec
        self.network = network
        self.normalise_sar = new_normaliser("sar", spec.bands.sar, sar_statistics)
        self.normalise_optical = new_normaliser("optical", spec.bands.optical, optical_statistics)
        self.decisions = Decisions()
        self.provenance = Provenance()
        self.context_prior: ContextPrior | None = None

    def set_context_prior(self, strength: float) -> Self:
        """Set the strength of the context prior (:mod:`floodseg.models.context_prior`). 0 removes it.

        Raises:
            ConfigError: the strength is below 0 or above 1.
        """
        if not 0 <= strength <= 1:
            raise ConfigError(f"`context_prior={strength:g}`: must be from 0 to 1")
        self.context_prior = ContextPrior(strength) if strength else None
        return self

    def forward(
        self,
        sar: Tensor | None = None,
        optical: Tensor | None = None,
        sar_valid: Tensor | None = None,
        optical_valid: Tensor | None = None,
    ) -> Tensor:
        """Return logits (N, 2, H, W) for land and water, at the size of the input.

        Values at invalid pixels have no effect. ``None`` has the effect of an image without valid pixels.

        Args:
            sar: (N, C_sar, H, W) backscatter in dB, or None.
            optical: (N, C_optical, H, W) reflectance, or None.
            sar_valid: (N, 1, H, W) bool, True where the radar image is valid; by default where all bands are finite.
            optical_valid: the same for the optical image.

        Raises:
            ConfigError: both images are None, the model does not take an image, an image has the wrong shape or number
                of channels, or validity has the wrong shape or type.
        """
        inputs = self.normalise(sar, optical, sar_valid, optical_valid)
        return self.with_context_prior(self.network(*inputs), torch.maximum(inputs.sar_valid, inputs.optical_valid))

    def with_context_prior(self, logits: Tensor, valid: Tensor) -> Tensor:
        """Return logits (N, 2, H, W) after the context prior, or as they are in training mode or without one.

        ``valid`` (N, 1, H, W) is 1 at the pixels that are part of the share of water, else 0.
        """
        if self.context_prior is None or self.training:
            return logits
        adjusted: Tensor = self.context_prior(logits, valid)
        return adjusted

    def normalise(
        self, sar: Tensor | None, optical: Tensor | None, sar_valid: Tensor | None, optical_valid: Tensor | None
    ) -> Inputs:
        """Return the inputs of the network; arguments and errors are those of :meth:`forward`."""
        images = complete_inputs(self.spec.bands, sar, optical, sar_valid, optical_valid)
        dtype = self.normalise_sar.table.dtype
        return Inputs(
            self.normalise_sar(images.sar.to(dtype), images.sar_valid),
            self.normalise_optical(images.optical.to(dtype), images.optical_valid),
            images.sar_valid.to(dtype),
            images.optical_valid.to(dtype),
        )
