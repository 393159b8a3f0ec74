"""A model as it is exported and mapped with: raw bands in, calibrated water probability out."""

import copy

import torch
from torch import Tensor, nn

from floodseg.bands import SENSOR_SETS, Sensor
from floodseg.models.model import FloodModel


class DeployedModel(nn.Module):
    """Calibrated water probability of raw bands, with a fixed list of inputs.

    Attributes:
        model: a copy of the model, in evaluation mode.
        sensors: the sensors that the model takes; ``forward`` takes their images in this order, then their validity.
    """

    def __init__(self, model: FloodModel) -> None:
        super().__init__()
        self.model = copy.deepcopy(model).eval().requires_grad_(False)
        self.sensors: tuple[Sensor, ...] = model.spec.bands.sensors

    @property
    def has_sensor_weights(self) -> bool:
        """Whether :meth:`optical_weight` has an answer."""
        return self.model.has_sensor_weights

    def forward(self, *inputs: Tensor) -> Tensor:
        """Return the probability (N, H, W) float32, 0 to 1; it is undefined at pixels without a valid sensor.

        Args:
            inputs: the image of each sensor, (N, C, H, W) float32 in physical units, then the validity of each,
                (N, H, W) bool. Values at invalid pixels are ignored.
        """
        images, valid = self._by_sensor(inputs)
        if not torch.compiler.is_compiling():
            # a multi-sensor model runs one network only if a sensor is missing; an exported graph has no such choice
            images = {sensor: image for sensor, image in images.items() if valid[sensor].any()} or images
        logits = self.model(images.get("sar"), images.get("optical"), valid.get("sar"), valid.get("optical"))
        land, water = logits.float().chunk(2, dim=1)
        return torch.sigmoid((water - land) / self._temperature(valid))[:, 0]

    def optical_weight(self, *inputs: Tensor) -> Tensor:
        """Return the fusion weight of the optical image (N, H, W), 0 to 1; arguments are those of ``forward``."""
        images, valid = self._by_sensor(inputs)
        return self.model.sensor_weights(images["sar"], images["optical"], valid["sar"], valid["optical"])[:, 1]

    def _by_sensor(self, inputs: tuple[Tensor, ...]) -> tuple[dict[Sensor, Tensor], dict[Sensor, Tensor]]:
        """Return the images by sensor, and their validity (N, 1, H, W) by sensor."""
        count = len(self.sensors)
        images = dict(zip(self.sensors, inputs[:count], strict=True))
        return images, {name: mask[:, None] for name, mask in zip(self.sensors, inputs[count:], strict=True)}

    def _temperature(self, valid: dict[Sensor, Tensor]) -> Tensor | float:
        """Return the temperature of the sensors that are valid at each pixel (N, 1, H, W), one number if all are equal.

        The probability is that of :meth:`floodseg.models.decision.Decisions.probability`, without its table of the
        sensor sets: to look it up at each pixel is slow in exported graphs.
        """
        decisions, sensors = self.model.decisions, self.model.spec.bands.sensor_set
        both, sar, optical = (decisions.of(each).temperature for each in SENSOR_SETS)
        if sensors != "both" or both == sar == optical:
            return decisions.of(sensors).temperature
        return torch.where(valid["optical"], torch.where(valid["sar"], both, optical), sar)
