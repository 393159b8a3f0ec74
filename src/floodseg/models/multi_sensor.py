"""Multi-sensor model: a radar model, an optical model and a fusion, selected by validity at each pixel."""

import torch
import torch.nn.functional as F
from torch import Tensor

from floodseg.bands import SENSORS, Bands, Sensor, SensorSet, bands_fit
from floodseg.errors import ConfigError
from floodseg.messages import SENSOR_NAMES
from floodseg.models.checkpoint.description import MULTI_SENSOR
from floodseg.models.cloud_detector import CloudDetector
from floodseg.models.decision import Decision, Decisions, logit_difference
from floodseg.models.inputs import Inputs, complete_inputs
from floodseg.models.log_odds_fusion import LogOddsFusion
from floodseg.models.model import FloodModel, ModelSpec, Provenance
from floodseg.models.pretrained_model import PretrainedModel


class MultiSensorModel(PretrainedModel):
    """A radar model, an optical model, and their fusion where both images are valid.

    ::

        radar image ─── radar model ────┐
        both images ─── fused model ────┼─ select by validity and clouds ─ logits
        optical image ─ optical model ──┤
        both images ─── cloud detector ─┘

    The fusion is a model of both sensors, or the weighted sum of the log-odds of the two others. Where only
    one sensor is valid, the log-odds are those of its model divided by its temperature, so that the map equals that of
    this model.
    Where the cloud detector finds a cloud that the cloud mask misses, the radar model decides.

    Attributes:
        sar: the model that takes only radar images.
        optical: the model that takes only optical images.
        fused: the model of both sensors, or the parameters of the weighted sum.
        cloud_detector: detector of unmasked clouds, only beside a model of both sensors; None without one.
        spec: architecture ``multi_sensor`` and the bands of both sensors.
        decisions: threshold and temperature for each sensor set. Those of a single sensor have temperature 1.
        provenance: training data, settings and scores.

    Raises:
        ConfigError: a model takes other sensors, bands or units.
    """

    def __init__(
        self,
        sar: FloodModel,
        optical: FloodModel,
        fused: FloodModel | LogOddsFusion,
        cloud_detector: CloudDetector | None = None,
    ) -> None:
        super().__init__()
        sar_bands, optical_bands = sar.spec.bands, optical.spec.bands
        bands = Bands(sar_bands.sar, optical_bands.optical, sar_bands.sar_unit, optical_bands.optical_unit)
        if isinstance(fused, FloodModel):
            bands = fused.spec.bands
        for sensor, model in zip(SENSORS, (sar, optical), strict=True):
            _check_part(sensor, model, bands.only(sensor))
        self.sar, self.optical, self.fused, self.cloud_detector = sar, optical, fused, cloud_detector
        self.spec = ModelSpec(MULTI_SENSOR, None, bands)
        self.decisions = self.single_sensor_decisions()
        self.provenance = Provenance()

    def forward(
        self,
        sar: Tensor | None = None,
        optical: Tensor | None = None,
        sar_valid: Tensor | None = None,
        optical_valid: Tensor | None = None,
    ) -> Tensor:
        """Return logits (N, 2, H, W) float32 for land and water.

        Arguments are those of :meth:`floodseg.models.model.FloodModel.forward`.
        If an image is None, only the model of the other sensor runs.
        """
        if optical is None:
            return _as_logits(_log_odds(self.sar, "sar", self.sar(sar, None, sar_valid, None)))
        if sar is None:
            return _as_logits(_log_odds(self.optical, "optical", self.optical(None, optical, None, optical_valid)))
        images = complete_inputs(self.spec.bands, sar, optical, sar_valid, optical_valid)
        by_sar = _log_odds(self.sar, "sar", self.sar(images.sar, None, images.sar_valid, None))
        by_optical = _log_odds(self.optical, "optical", self.optical(None, images.optical, None, images.optical_valid))
        single = torch.where(images.sar_valid, by_sar, by_optical)
        fused_pixels = self.fused_pixels(images.sar_valid, images.optical_valid)
        fused = self._fuse(images, by_sar, by_optical)
        return _as_logits(torch.where(fused_pixels, fused, single))

    def fused_pixels(self, sar_valid: Tensor, optical_valid: Tensor) -> Tensor:
        """Return the mask of fused pixels from two masks of valid pixels, each (N, 1, H, W) bool.

        These are the pixels where both sensors are valid, without those within ``optical_margin`` of a pixel where only
        radar is valid.
        """
        both, margin = sar_valid & optical_valid, optical_margin_of(self)
        if margin == 0:
            return both
        near = (sar_valid & ~optical_valid).float()
        for kernel, padding in (((2 * margin + 1, 1), (margin, 0)), ((1, 2 * margin + 1), (0, margin))):
            near = F.max_pool2d(near, kernel, stride=1, padding=padding)
        return both & (near == 0)

    def _fuse(self, images: Inputs, by_sar: Tensor, by_optical: Tensor) -> Tensor:
        """Return the log-odds of both sensors, (N, 1, H, W), which are used at :meth:`fused_pixels` only.

        Under a detected cloud they are those of radar, plus an offset from its threshold to that for both sensors.
        """
        if isinstance(self.fused, LogOddsFusion):
            return self.fused.combine(by_sar, by_optical)
        inputs = self.fused.normalise(*images)
        logits = self.fused.with_context_prior(self.fused.network(*inputs), inputs.sar_valid * inputs.optical_valid)
        fused = _log_odds(self.fused, "both", logits)
        if self.cloud_detector is None:
            return fused
        return torch.where(self.cloud_detector(inputs) >= 0, by_sar + self.decisions.sar_logit_offset, fused)

    def without_cloud_detector(self) -> "MultiSensorModel":
        """Return a model of the same parts without the cloud detector."""
        return MultiSensorModel(self.sar, self.optical, self.fused)

    def single_sensor_decisions(self) -> Decisions:
        """Return the thresholds of the radar and the optical model, without temperatures; both sensors: the default."""
        return Decisions(
            sar=Decision(self.sar.decisions.sar.threshold), optical=Decision(self.optical.decisions.optical.threshold)
        )


AnyModel = FloodModel | MultiSensorModel
"""A plain model, or a multi-sensor model."""


def plain_models(model: AnyModel) -> dict[str, FloodModel]:
    """Return the plain models in a model by name: ``sar``, ``optical`` and ``fused``, or "" for a plain model."""
    if isinstance(model, FloodModel):
        return {"": model}
    return {name: each for name, each in model.named_children() if isinstance(each, FloodModel)}


def model_for(model: AnyModel, sensor: Sensor) -> FloodModel:
    """Return the plain model that maps pixels where only ``sensor`` is valid."""
    if isinstance(model, FloodModel):
        return model
    return model.sar if sensor == "sar" else model.optical


def optical_margin_of(model: AnyModel) -> int:
    """Return the optical margin of a weighted sum of log-odds (see :class:`LogOddsFusion`); 0 for other models."""
    fused = model.fused if isinstance(model, MultiSensorModel) else None
    return fused.optical_margin if isinstance(fused, LogOddsFusion) else 0


def _log_odds(model: FloodModel, sensors: SensorSet, logits: Tensor) -> Tensor:
    """Return the calibrated log-odds of water (N, 1, H, W) float32 of logits (N, 2, H, W)."""
    return logit_difference(logits)[:, None] / model.decisions.of(sensors).temperature


def _as_logits(log_odds: Tensor) -> Tensor:
    """Return logits (N, 2, H, W) for land and water whose difference is ``log_odds`` (N, 1, H, W)."""
    return torch.cat((-log_odds / 2, log_odds / 2), dim=1)


def _check_part(sensor: Sensor, part: FloodModel, expected: Bands) -> None:
    """Raise ConfigError unless a model takes exactly the expected bands, those of one sensor."""
    if not all(bands_fit(part.spec.bands, expected, each, exact=True) for each in SENSORS):
        raise ConfigError(
            f"{SENSOR_NAMES[sensor]} model: takes {part.spec.bands}, but the multi-sensor model needs {expected}; "
            f"train it on the same data with `sensors={sensor}`"
        )
