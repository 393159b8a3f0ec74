"""Deployed model, which is exported and maps scenes: raw bands in, calibrated water probability out."""

import copy

import torch
from torch import Tensor, nn

from floodseg.bands import SENSOR_SETS, Sensor
from floodseg.models.multi_sensor import AnyModel


class DeployedModel(nn.Module):
    """A model with positional inputs that returns calibrated water probability.

    Attributes:
        model: a copy of the model, in evaluation mode.
        sensors: sensors of the model. ``forward`` takes their images in this order, then their validity.
    """

    def __init__(self, model: AnyModel) -> None:
        super().__init__()
        self.model = copy.deepcopy(model).eval().requires_grad_(False)
        self.sensors: tuple[Sensor, ...] = model.spec.bands.sensors

    def forward(self, *inputs: Tensor) -> Tensor:
        """Return the probability (N, H, W) float32, 0 to 1. It is undefined at pixels without a valid sensor.

        Args:
            inputs: the image of each sensor, (N, C, H, W) float32 in physical units, then the validity of each sensor,
                (N, H, W) bool. Values at invalid pixels have no effect.
        """
        images, valid = self._by_sensor(inputs)
        if not torch.compiler.is_compiling():
            # without the image of a missing sensor, a multi-sensor model runs only one network; an exported graph
            # always runs all of them
            images = {sensor: image for sensor, image in images.items() if valid[sensor].any()} or images
        logits = self.model(images.get("sar"), images.get("optical"), valid.get("sar"), valid.get("optical"))
        land, water = logits.float().chunk(2, dim=1)
        return torch.sigmoid((water - land) / self._temperature(valid))[:, 0]

    def _by_sensor(self, inputs: tuple[Tensor, ...]) -> tuple[dict[Sensor, Tensor], dict[Sensor, Tensor]]:
        """Return the images by sensor, and their validity (N, 1, H, W) by sensor."""
        count = len(self.sensors)
        images = dict(zip(self.sensors, inputs[:count], strict=True))
        return images, {name: mask[:, None] for name, mask in zip(self.sensors, inputs[count:], strict=True)}

    def _temperature(self, valid: dict[Sensor, Tensor]) -> Tensor | float:
        """Return the temperature at each pixel (N, 1, H, W), or one number if all pixels have the same.

        The temperatures are those of :meth:`floodseg.models.decision.Decisions.probability`. The lookup in its table is
        slow in exported graphs.
        """
        decisions, sensors = self.model.decisions, self.model.spec.bands.sensor_set
        both, sar, optical = (decisions.of(each).temperature for each in SENSOR_SETS)
        if sensors != "both" or both == sar == optical:
            return decisions.of(sensors).temperature
        return torch.where(valid["optical"], torch.where(valid["sar"], both, optical), sar)
