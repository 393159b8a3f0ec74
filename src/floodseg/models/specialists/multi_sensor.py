"""Multi-sensor model with a fused network, a specialist for each sensor, a router and a cloud detector."""

import copy

from torch import Tensor, nn

from floodseg.bands import SENSORS, Sensor, bands_fit
from floodseg.errors import ConfigError
from floodseg.messages import SENSOR_NAMES
from floodseg.models.model import FloodModel, TrainingOutputs
from floodseg.models.specialists.cloud_detector import CloudDetector, fall_back_to_sar
from floodseg.models.specialists.router import Router


class MultiSensorModel(FloodModel):
    """A fused network and specialists. The specialists are copies of single-sensor models and are not trained further.

    ::

        fused network (with its sensor gate) ─┐
        radar specialist ─────────────────────┼─ router ─┐
        optical specialist ───────────────────┘          ├─ blend by cloud probability -> logits
        radar specialist ────────────────────────────────┤
        cloud detector ──────────────────────────────────┘

    Args:
        fused: a model of both sensors with a sensor gate and without specialists. Its network becomes part of this
            model.
        sar: a model that takes only the radar bands of ``fused``.
        optical: a model that takes only the optical bands of ``fused``.

    Raises:
        ConfigError: ``fused`` has no sensor gate or has specialists, or a specialist takes other bands or units.
    """

    def __init__(self, fused: FloodModel, sar: FloodModel, optical: FloodModel) -> None:
        if not fused.has_sensor_weights or isinstance(fused, MultiSensorModel):
            raise ConfigError(
                f"this '{fused.spec.architecture}' model cannot have specialists; use a lite or efficient model of "
                "both sensors without specialists"
            )
        for sensor, model in zip(SENSORS, (sar, optical), strict=True):
            _check_specialist(sensor, model, fused)
        super().__init__(fused.network, fused.spec)
        self.normalise_sar, self.normalise_optical = fused.normalise_sar, fused.normalise_optical
        self.decisions, self.provenance = fused.decisions, fused.provenance
        self.context_prior = fused.context_prior
        sar, optical = copy.deepcopy(sar), copy.deepcopy(optical)
        for empty in (sar.normalise_optical, optical.normalise_sar):
            # not saved: empty tensors share their storage, and safetensors refuses to save such tensors
            empty.register_buffer("table", empty.table, persistent=False)
        self.specialists = nn.ModuleDict({"sar": sar, "optical": optical})
        self.specialists.requires_grad_(False)
        self.router = Router()
        self.cloud_detector = CloudDetector(len(fused.spec.bands.sar), len(fused.spec.bands.optical))
        self.train(fused.training)

    def specialist(self, sensor: Sensor) -> FloodModel:
        """Return the single-sensor model of a sensor."""
        specialist = self.specialists[sensor]
        assert isinstance(specialist, FloodModel)
        return specialist

    def train(self, mode: bool = True) -> "MultiSensorModel":
        """Set training mode. The specialists stay in evaluation mode, so that their batch statistics do not change."""
        super().train(mode)
        self.specialists.eval()
        return self

    def forward(
        self,
        sar: Tensor | None = None,
        optical: Tensor | None = None,
        sar_valid: Tensor | None = None,
        optical_valid: Tensor | None = None,
    ) -> Tensor:
        """Return logits (N, 2, H, W) for land and water. Arguments are those of :meth:`FloodModel.forward`.

        If an image is None, only the specialist of the other sensor runs. In training mode, the logits are those of
        :meth:`training_outputs`.
        """
        if self.training:
            return self.training_outputs(sar, optical, sar_valid, optical_valid).logits
        inputs = self.normalise(sar, optical, sar_valid, optical_valid)
        if optical is None:
            return self._sar_logits(sar, sar_valid) * inputs.sar_valid
        if sar is None:
            return self._optical_logits(optical, optical_valid) * inputs.optical_valid
        fused, gate_log_odds = self.gated_network().forward_with_gate(*inputs)
        if self.context_prior is not None:
            # the router uses the fused network only where both sensors are valid
            fused = self.context_prior(fused, inputs.sar_valid * inputs.optical_valid)
        by_sar, by_optical = self._sar_logits(sar, sar_valid), self._optical_logits(optical, optical_valid)
        selected = self.router((fused, by_sar, by_optical), gate_log_odds, inputs.sar_valid, inputs.optical_valid)
        return self.cloud_detector.blend(selected, by_sar, self.cloud_detector.cloud_probability(*inputs))

    def training_outputs(
        self, sar: Tensor | None, optical: Tensor | None, sar_valid: Tensor | None, optical_valid: Tensor | None
    ) -> TrainingOutputs:
        """Return the logits before context prior and blending, and the log-odds of sensor gate and cloud detector.

        Arguments and errors are those of :meth:`forward`. Both images are required.
        """
        inputs = self.normalise(sar, optical, sar_valid, optical_valid)
        fused, gate_log_odds = self.gated_network().forward_with_gate(*inputs)
        outputs = fused, self._sar_logits(sar, sar_valid), self._optical_logits(optical, optical_valid)
        selected: Tensor = self.router(outputs, gate_log_odds, inputs.sar_valid, inputs.optical_valid)
        return TrainingOutputs(selected, gate_log_odds, self.cloud_detector(*inputs))

    def sensor_weights(
        self,
        sar: Tensor | None = None,
        optical: Tensor | None = None,
        sar_valid: Tensor | None = None,
        optical_valid: Tensor | None = None,
    ) -> Tensor:
        """Return the sensor weights, moved to radar by the probability of cloud.

        See :meth:`FloodModel.sensor_weights`.
        """
        inputs = self.normalise(sar, optical, sar_valid, optical_valid)
        weights = self.gated_network().sensor_weights(*inputs)
        return fall_back_to_sar(weights, self.cloud_detector.cloud_probability(*inputs))

    def _sar_logits(self, image: Tensor | None, valid: Tensor | None) -> Tensor:
        """Return the logits (N, 2, H, W) of the radar specialist, divided by its temperature."""
        return self._calibrated("sar", image, None, valid, None)

    def _optical_logits(self, image: Tensor | None, valid: Tensor | None) -> Tensor:
        """Return the logits (N, 2, H, W) of the optical specialist, divided by its temperature."""
        return self._calibrated("optical", None, image, None, valid)

    def _calibrated(self, sensor: Sensor, *images: Tensor | None) -> Tensor:
        specialist = self.specialist(sensor)
        logits: Tensor = specialist.training_outputs(*images).logits if self.training else specialist(*images)
        return logits / specialist.decisions.of(sensor).temperature


def specialists_of(model: FloodModel) -> dict[Sensor, FloodModel]:
    """Return the specialists of a model by sensor. A plain model has none."""
    return {sensor: model.specialist(sensor) for sensor in SENSORS} if isinstance(model, MultiSensorModel) else {}


def _check_specialist(sensor: Sensor, specialist: FloodModel, fused: FloodModel) -> None:
    """Raise ConfigError unless a specialist takes exactly the bands that the fused model takes from its sensor."""
    bands, expected = specialist.spec.bands, fused.spec.bands.only(sensor)
    if not all(bands_fit(bands, expected, each, exact=True) for each in SENSORS):
        raise ConfigError(
            f"{SENSOR_NAMES[sensor]} specialist: takes {bands}, but the fused model has {expected}; train the "
            f"specialist on the same data with `sensors={sensor}`"
        )
