"""Flood model: a network with its normalisation, decisions and provenance."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol, Self, runtime_checkable

import torch
from torch import Tensor, nn

from floodseg.bands import Bands, BandStatistics
from floodseg.errors import ConfigError
from floodseg.models.checkpoint.renamed_keys import rename_old_keys
from floodseg.models.context_prior import ContextPrior
from floodseg.models.decision import Decisions
from floodseg.models.inputs import Inputs, complete_inputs
from floodseg.models.normaliser import new_normaliser

GATE_MIN_SIDE = 8
"""Smallest height and width of an image for a model with a sensor gate, in pixels: one cell of the gate."""


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


class TrainingOutputs(NamedTuple):
    """Outputs of a training step; None for outputs that the model does not have."""

    logits: Tensor
    """(N, 2, H, W) for land and water, without calibration."""
    gate_log_odds: Tensor | None = None
    """(N, 1, H, W) log-odds of the weight of the optical image against radar in the sensor gate."""
    cloud_log_odds: Tensor | None = None
    """(N, 1, H, W) log-odds of a cloud or cloud shadow at a pixel that the cloud mask leaves valid."""


@runtime_checkable
class GatedNetwork(Protocol):
    """A network with a sensor gate, which weights two sensors at each pixel.

    The gate is described in :mod:`floodseg.models.networks.sensor_weights`.
    """

    def forward_with_gate(self, *inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Return the logits of ``forward`` and the log-odds of the weight of the optical image (N, 1, H, W)."""
        ...

    def sensor_weights(self, *inputs: Tensor) -> Tensor:
        """Return the fusion weights of radar and optical image (N, 2, H, W)."""
        ...


class FloodModel(nn.Module):
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
        self.register_load_state_dict_pre_hook(rename_old_keys)  # type: ignore[no-untyped-call]  # PyTorch has no types

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
        logits: Tensor = self.network(*inputs)
        if self.context_prior is None or self.training:
            return logits
        adjusted: Tensor = self.context_prior(logits, torch.maximum(inputs.sar_valid, inputs.optical_valid))
        return adjusted

    def training_outputs(
        self, sar: Tensor | None, optical: Tensor | None, sar_valid: Tensor | None, optical_valid: Tensor | None
    ) -> TrainingOutputs:
        """Return the logits without calibration and, for a model with a sensor gate, the log-odds of the gate.

        Arguments and errors are those of :meth:`forward`.
        """
        inputs = self.normalise(sar, optical, sar_valid, optical_valid)
        if not self.has_sensor_weights:
            return TrainingOutputs(self.network(*inputs))
        return TrainingOutputs(*self.gated_network().forward_with_gate(*inputs))

    def normalise(
        self, sar: Tensor | None, optical: Tensor | None, sar_valid: Tensor | None, optical_valid: Tensor | None
    ) -> Inputs:
        """Return the inputs of the network; arguments and errors are those of :meth:`forward`."""
        images = complete_inputs(self.spec.bands, sar, optical, sar_valid, optical_valid)
        height, width = images.sar.shape[-2:]
        if self.has_sensor_weights and (height < GATE_MIN_SIDE or width < GATE_MIN_SIDE):
            raise ConfigError(
                f"image of {height}x{width} pixels: a model of both sensors needs at least "
                f"{GATE_MIN_SIDE}x{GATE_MIN_SIDE} pixels, one cell of its sensor gate; use a larger image"
            )
        dtype = self.normalise_sar.table.dtype
        return Inputs(
            self.normalise_sar(images.sar.to(dtype), images.sar_valid),
            self.normalise_optical(images.optical.to(dtype), images.optical_valid),
            images.sar_valid.to(dtype),
            images.optical_valid.to(dtype),
        )

    @property
    def has_sensor_weights(self) -> bool:
        """True if the model takes both sensors and its network has a sensor gate."""
        return self.spec.bands.sensor_set == "both" and isinstance(self.network, GatedNetwork)

    def gated_network(self) -> GatedNetwork:
        """Return the network of a model with a sensor gate.

        Raises:
            ConfigError: the model has no sensor gate.
        """
        if not self.has_sensor_weights or not isinstance(self.network, GatedNetwork):
            raise ConfigError(
                f"this '{self.spec.architecture}' model has no sensor weights; use a lite or efficient model that was "
                "trained for both sensors"
            )
        return self.network

    def sensor_weights(
        self,
        sar: Tensor | None = None,
        optical: Tensor | None = None,
        sar_valid: Tensor | None = None,
        optical_valid: Tensor | None = None,
    ) -> Tensor:
        """Return the weights of the radar and the optical image in the fusion, (N, 2, H, W), 0 to 1.

        They sum to 1 where a sensor is valid. An invalid sensor has exactly 0. Arguments are those of :meth:`forward`.

        Raises:
            ConfigError: the model takes one sensor, its network has no sensor gate, or the inputs are wrong.
        """
        network = self.gated_network()
        return network.sensor_weights(*self.normalise(sar, optical, sar_valid, optical_valid))
