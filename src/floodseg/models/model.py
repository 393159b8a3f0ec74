"""The model that users hold: raw dB and reflectance in, logits out, nothing leaking from invalid pixels."""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

import torch
from torch import Tensor, nn

from floodseg.bands import Bands, BandStatistics, Sensor
from floodseg.errors import ConfigError
from floodseg.models.context_prior import ContextPrior
from floodseg.models.decision import Decisions
from floodseg.models.specialists.cloud_detector import CloudJudge, left_to_radar
from floodseg.models.specialists.router import Router

DEFAULT_STATISTICS: dict[Sensor, BandStatistics] = {
    "sar": BandStatistics(mean=-15.0, std=6.0, low=-50.0, high=30.0),
    "optical": BandStatistics(mean=0.15, std=0.15, low=-0.2, high=2.0),
}
"""Until a training split has been seen: typical land scenes in dB and reflectance, clipped at what is physical."""

LEAST_SIDE = 8
"""Pixels a side of the smallest image that a model of both sensors takes: a cell of its reliability."""


@dataclass(frozen=True)
class ModelSpec:
    """What has to be known to build a model again; kept in every checkpoint."""

    architecture: str
    encoder: str | None
    bands: Bands


@dataclass
class Provenance:
    """Where the weights come from: plain JSON values, kept in every checkpoint."""

    training: dict[str, Any] = field(default_factory=dict)
    scores: dict[str, Any] = field(default_factory=dict)


class InputNormaliser(nn.Module):
    """Standardises one sensor by statistics that travel with the weights, and blanks invalid pixels.

    Values are clipped to what the training data held, so that a deployed image with a wider range (or radar stored
    with a floor) looks like the training set's.
    """

    table: Tensor
    """(4, C): mean, std, low and high of each band."""

    def __init__(self, statistics: Sequence[BandStatistics]) -> None:
        super().__init__()
        columns = [(band.mean, band.std, band.low, band.high) for band in statistics]
        # one buffer, not four: four empty ones (a sensor without bands) would share their storage, which safetensors
        # refuses
        self.register_buffer("table", torch.tensor(columns, dtype=torch.float32).view(-1, 4).T.contiguous())

    def forward(self, image: Tensor, valid: Tensor) -> Tensor:
        """Map (N, C, H, W) physical values and (N, 1, H, W) bool to standardised values, exactly 0 where invalid."""
        mean, std, low, high = self.table[:, None, :, None, None].unbind()
        # in place: a fresh tensor of this size costs more in pages to be mapped than in arithmetic
        standardised = image.clamp(low, high).sub_(mean).div_(std)
        # last, so that NaN or garbage never gets further, and zeros stay exact where a compiler reorders arithmetic:
        # a stem divides them by how little it saw
        return standardised.masked_fill_(~valid, 0.0)

    def statistics(self) -> list[BandStatistics]:
        """Return the statistics of each band."""
        return [BandStatistics(*band) for band in self.table.T.tolist()]


class FloodModel(nn.Module):
    """A network with its normalisation, decision thresholds and provenance.

    The network is called with standardised images (N, C, H, W), exactly 0 where invalid, and float validity
    (N, 1, H, W), 0 or 1; a sensor that is not part of the model has 0 channels.

    Attributes:
        spec: architecture, encoder and bands.
        decisions: threshold and temperature for each sensor set (see :mod:`floodseg.models.decision`).
        provenance: training data, settings and scores of the weights.
        specialists: models of radar alone and of the optical image alone, by sensor, which answer where their sensor
            alone is valid or believed (:mod:`floodseg.models.specialists.router`); none, unless they were added.
        judge: beside specialists, finds clouds that no mask marks, where the specialist of radar answers instead.
        context_prior: moves the odds of each pixel by the water around it, in evaluation mode alone: a calibration,
            which the network does not learn with; None moves nothing.
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
        self.normalise_sar = InputNormaliser(_statistics("sar", spec.bands.sar, sar_statistics))
        self.normalise_optical = InputNormaliser(_statistics("optical", spec.bands.optical, optical_statistics))
        self.decisions = Decisions()
        self.provenance = Provenance()
        self.specialists = nn.ModuleDict()
        self.route: Router | None = None
        self.judge: CloudJudge | None = None
        self.context_prior: ContextPrior | None = None

    def add_specialists(self, radar: "FloodModel", optical: "FloodModel") -> Self:
        """Let a copy of each sensor's specialist answer where the other is not there; it is trained no more.

        Args:
            radar: a model of this model's SAR bands alone.
            optical: a model of this model's optical bands alone.

        Raises:
            ConfigError: this model weighs no two sensors, has specialists, or these take other bands or units.
        """
        if not self.knows_reliability or self.specialists:
            raise ConfigError(
                f"specialists given for this '{self.spec.architecture}': needs a model of lite or efficient for both "
                "sensors that has none; build one so"
            )
        own, by_radar, by_optical = (each.spec.bands for each in (self, radar, optical))
        _check_specialist("sar", by_radar, replace(own, optical=(), optical_unit=by_radar.optical_unit))
        _check_specialist("optical", by_optical, replace(own, sar=(), sar_unit=by_optical.sar_unit))
        radar, optical = copy.deepcopy(radar), copy.deepcopy(optical)
        for empty in (radar.normalise_optical, optical.normalise_sar):
            # two empty ones would share their storage, which safetensors refuses
            empty.register_buffer("table", empty.table, persistent=False)
        self.specialists.update({"sar": radar, "optical": optical})
        self.specialists.requires_grad_(False).eval()
        self.route = Router()
        self.judge = CloudJudge(len(own.sar), len(own.optical))
        return self

    def set_context_prior(self, strength: float) -> Self:
        """Let the water around a pixel move its odds, see :mod:`floodseg.models.context_prior`; 0 takes that away.

        Raises:
            ConfigError: a strength below 0 or above 1.
        """
        if not 0 <= strength <= 1:
            raise ConfigError(f"context prior of strength {strength}: must be from 0 to 1")
        self.context_prior = ContextPrior(strength) if strength else None
        return self

    def specialist(self, sensor: str) -> "FloodModel":
        """Return the specialist of a sensor, where there are any."""
        specialist = self.specialists[sensor]
        assert isinstance(specialist, FloodModel), "add_specialists takes no other"
        return specialist

    def train(self, mode: bool = True) -> Self:
        """Set training mode; specialists stay in evaluation mode, as their norms must not follow other data."""
        super().train(mode)
        self.specialists.eval()
        return self

    def forward(
        self,
        sar: Tensor | None = None,
        optical: Tensor | None = None,
        sar_valid: Tensor | None = None,
        optical_valid: Tensor | None = None,
        *,
        with_log_odds: bool = False,
    ) -> Tensor | tuple[Tensor, ...]:
        """Return logits (N, 2, H, W) for land and water, at input size.

        Args:
            sar: (N, C_sar, H, W) backscatter in dB, or None where there is no radar.
            optical: (N, C_optical, H, W) reflectance, or None where there is no optical image.
            sar_valid: (N, 1, H, W) bool, True where the radar holds numbers; None means every pixel that is finite.
            optical_valid: the same for the optical image.
            with_log_odds: for training, of a model that :attr:`knows_reliability`: return with the logits how much more
                the optical image is believed than the radar, as log odds (N, 1, H, W), and beside specialists the log
                odds of a cloud that no mask marks, which then changes nothing.

        Values at invalid pixels are ignored, whatever they are; ``None`` equals an all-invalid sensor.

        Raises:
            ConfigError: no image, one of the wrong shape or number of channels or of a sensor that the model lacks, or
                validity of another shape or type.
        """
        whole = self._complete_pair(sar, optical, sar_valid, optical_valid)
        given = self._standardised(*whole)
        if self.route is None and not with_log_odds:
            return self._logits(given, moved=not self.training)
        weigh: Callable[..., tuple[Tensor, Tensor]] = getattr(self.network, "weighed")  # noqa: B009 (a Module has it untyped)
        fused, log_odds = weigh(*given)
        fused = self._in_context(fused, given, moved=not self.training)
        if self.route is None or self.judge is None:
            return fused, log_odds
        radar = self._alone("sar", whole[0], None, whole[2], None)
        optical_alone = self._alone("optical", None, whole[1], None, whole[3])
        routed: Tensor = self.route(fused, radar, optical_alone, log_odds, *given[2:])
        if with_log_odds:
            return routed, log_odds, self.judge(*given)
        if self.training:
            return routed
        return self.judge.mixed_logits(routed, radar, self.judge.covered(*given))

    def _logits(self, given: tuple[Tensor, Tensor, Tensor, Tensor], *, moved: bool) -> Tensor:
        """Return the logits of the network alone, of what :meth:`_prepared` returns."""
        plain: Tensor = self.network(*given)
        return self._in_context(plain, given, moved=moved)

    def _in_context(self, logits: Tensor, given: tuple[Tensor, Tensor, Tensor, Tensor], *, moved: bool) -> Tensor:
        """Return the network's logits, moved by the water around each pixel where the model is so calibrated."""
        if self.context_prior is None or not moved:
            return logits
        return self.context_prior.of_logits(logits, self.counts_in_context(given[2], given[3]))

    def counts_in_context(self, sar_valid: Tensor, optical_valid: Tensor) -> Tensor:
        """Return 1 where the network's answer says something of the water around, else 0; arguments are numbers.

        Beside specialists that is where both sensors are valid: nothing else is asked of the fused network.
        """
        return torch.maximum(sar_valid, optical_valid) if self.route is None else sar_valid * optical_valid

    def _alone(self, sensor: Sensor, *images: Tensor | None) -> Tensor:
        """Return the calibrated logits of a specialist, (N, 2, H, W)."""
        specialist = self.specialist(sensor)
        logits = specialist._logits(specialist._prepared(*images), moved=not self.training)
        return logits / specialist.decisions.of(sensor).temperature

    @property
    def knows_reliability(self) -> bool:
        """Whether the network weighs two sensors at each pixel, so that :meth:`sensor_weights` has an answer."""
        return bool(self.spec.bands.sar and self.spec.bands.optical) and hasattr(self.network, "sensor_weights")

    def sensor_weights(
        self,
        sar: Tensor | None = None,
        optical: Tensor | None = None,
        sar_valid: Tensor | None = None,
        optical_valid: Tensor | None = None,
    ) -> Tensor:
        """Return what radar and optical image weigh in the fusion, (N, 2, H, W), 0 to 1: how far each is believed.

        Beside specialists an optical image weighs less by as much as a cloud is probable that no mask marks.
        They sum to 1 where any is valid; an invalid sensor has exactly 0. Arguments are those of :meth:`forward`.

        Raises:
            ConfigError: the model takes one sensor, or its network has no such weights; or as :meth:`forward` does.
        """
        weigh: Callable[..., Tensor] | None = getattr(self.network, "sensor_weights", None)
        if weigh is None or not self.knows_reliability:
            raise ConfigError(
                f"this '{self.spec.architecture}' weighs no sensors against each other: take a model of lite or "
                "efficient that was trained for both"
            )
        given = self._prepared(sar, optical, sar_valid, optical_valid)
        weights = weigh(*given)
        return weights if self.judge is None else left_to_radar(weights, self.judge.covered(*given))

    def _prepared(
        self, sar: Tensor | None, optical: Tensor | None, sar_valid: Tensor | None, optical_valid: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return what the network takes, see the docstring of the class."""
        return self._standardised(*self._complete_pair(sar, optical, sar_valid, optical_valid))

    def _complete_pair(
        self, sar: Tensor | None, optical: Tensor | None, sar_valid: Tensor | None, optical_valid: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return both images and validities (bool) in full, as they were given."""
        given = sar if sar is not None else optical
        if given is None:
            raise ConfigError("the model was called without an image: give sar, optical or both")
        sar, sar_valid = self._complete("sar", sar, sar_valid, given)
        optical, optical_valid = self._complete("optical", optical, optical_valid, given)
        if self.knows_reliability and min(given.shape[-2:]) < LEAST_SIDE:
            raise ConfigError(
                f"image of {given.shape[-2]}x{given.shape[-1]} pixels: a model of both sensors looks at cells of "
                f"{LEAST_SIDE} pixels a side to tell how far each is believed; give it at least one"
            )
        return sar, optical, sar_valid, optical_valid

    def _standardised(
        self, sar: Tensor, optical: Tensor, sar_valid: Tensor, optical_valid: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        return (
            self.normalise_sar(sar, sar_valid),
            self.normalise_optical(optical, optical_valid),
            sar_valid.to(sar.dtype),
            optical_valid.to(optical.dtype),
        )

    def _complete(
        self, sensor: Sensor, image: Tensor | None, valid: Tensor | None, like: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Fill in a missing image or validity, and refuse an image that does not fit the model."""
        names = self.spec.bands.sar if sensor == "sar" else self.spec.bands.optical
        batch, height, width = like.shape[0], like.shape[-2], like.shape[-1]
        number_format = self.normalise_sar.table.dtype
        if image is None or (not names and image.shape[1] == 0):
            empty = torch.zeros((batch, len(names), height, width), dtype=number_format, device=like.device)
            return empty, torch.zeros((batch, 1, height, width), dtype=torch.bool, device=like.device)
        _check_image(sensor, names, image, like)
        if valid is None:
            valid = torch.isfinite(image).all(dim=1, keepdim=True)
        if valid.dtype != torch.bool or valid.shape != (batch, 1, height, width):
            raise ConfigError(
                f"{sensor} validity of shape {tuple(valid.shape)} and type {valid.dtype} for an image of shape "
                f"{tuple(image.shape)}: must be bool (N, 1, H, W)"
            )
        return image.to(number_format), valid


def _check_specialist(sensor: Sensor, takes: Bands, wanted: Bands) -> None:
    if takes != wanted:
        raise ConfigError(
            f"specialist of {sensor}: takes {_listed(takes)}, and the fused model has {_listed(wanted)} of it; "
            f"train it on the same data with --sensors {sensor}"
        )


def _listed(bands: Bands) -> str:
    sensors = ((bands.sar, bands.sar_unit), (bands.optical, bands.optical_unit))
    return " and ".join(f"{', '.join(names)} in {unit}" for names, unit in sensors if names)


def _check_image(sensor: Sensor, names: tuple[str, ...], image: Tensor, like: Tensor) -> None:
    """Refuse an image that the model does not take, or that does not lie on the grid of ``like``."""
    if image.ndim != 4:
        raise ConfigError(
            f"{sensor} image of shape {tuple(image.shape)}: must be (N, C, H, W); add the axis N with [None]"
        )
    if image.shape[1] != len(names):
        has = f"{len(names)} ({', '.join(names)})" if names else "none"
        raise ConfigError(
            f"{sensor} image with {image.shape[1]} channels given to a model that takes {has}: "
            "select those bands in that order, or use a model trained for these"
        )
    if image.shape[0] != like.shape[0] or image.shape[2:] != like.shape[2:]:
        raise ConfigError(
            f"{sensor} image of shape {tuple(image.shape)} beside one of shape {tuple(like.shape)}: both must have "
            "the same N, H and W; bring them to one grid first"
        )


def _statistics(
    sensor: Sensor, names: tuple[str, ...], given: Sequence[BandStatistics] | None
) -> Sequence[BandStatistics]:
    if given is None:
        return [DEFAULT_STATISTICS[sensor]] * len(names)
    if len(given) != len(names):
        raise ConfigError(f"{len(given)} {sensor} statistics given for {len(names)} bands: give one for each band")
    return given
