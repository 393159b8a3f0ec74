"""Distillation: calibrated probabilities of trained models as soft targets in addition to labels (Hinton et al. 2015).

The teachers of a pixel are the models with the most valid sensors; among these, models without a missing sensor take
precedence: a model of both sensors where both are valid, a radar model where the optical image is missing or masked as
cloud. Teachers of the same rank are averaged.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import softplus

from floodseg.bands import IGNORE, SENSORS, WATER, Bands, Sensor, bands_fit
from floodseg.chips.loader import Sample
from floodseg.config.train import TrainConfig
from floodseg.errors import ConfigError
from floodseg.messages import SENSOR_NAMES
from floodseg.models.checkpoint.zoo import load_model
from floodseg.models.multi_sensor import AnyModel, plain_models
from floodseg.training.lineage import check_event, model_record


def distil_loss(logits: Tensor, target: Tensor, counted: Tensor) -> Tensor:
    """Return the mean Kullback-Leibler divergence of the student's water probability from the teachers' probability.

    ``q log(q / p) + (1 - q) log((1 - q) / (1 - p))``, with target q and ``p = sigmoid(logit_water - logit_land)``. The
    divergence is 0 if both are equal. Its gradient is that of the cross entropy with a soft label.

    Args:
        logits: (N, 2, H, W), any floating dtype; at pixels that do not count they may be NaN.
        target: (N, H, W) float32, 0 to 1.
        counted: (N, H, W) bool, pixels with a target.

    Returns:
        Scalar float32. Exactly 0, with gradients of exactly 0, if no pixel counts.
    """
    difference = logits[:, WATER].float() - logits[:, 1 - WATER].float()
    difference = torch.where(counted, difference, 0.0)
    entropy = torch.special.entr(target) + torch.special.entr(1 - target)
    divergence = softplus(difference) - target * difference - entropy
    return torch.where(counted, divergence, 0.0).sum() / counted.sum().clamp(min=1)


@dataclass(frozen=True)
class _Teacher:
    name: str
    model: AnyModel
    channels: dict[Sensor, list[int]]
    """Indices of the chip channels that it takes, for each sensor that both the teacher and the chips have."""


class Teachers:
    """Frozen teachers of a run.

    Args:
        models: the teachers.
        config: settings of the run.
        bands: channels of the chips.

    Raises:
        ConfigError: a teacher takes bands or units that the chips lack, or may have been trained on the event that is
            held out.
    """

    def __init__(self, models: Sequence[tuple[str, AnyModel]], config: TrainConfig, bands: Bands) -> None:
        self.weight, self.unlabelled = config.distil.distil_weight, config.distil.distil_unlabelled
        self._teachers = [_Teacher(name, model, _channels(name, model.spec.bands, bands)) for name, model in models]
        # recorded before the context priors are removed
        self._records = [
            model_record(each.name, each.model) | {"sensors": list(each.channels)} for each in self._teachers
        ]
        for name, model in models:
            check_event("teacher", name, model, config.data.hold_out_event)
            model.eval().requires_grad_(False).to(memory_format=torch.channels_last)
            if config.model.context_prior:
                _remove_context_prior(model)

    def to(self, device: torch.device) -> None:
        """Move the teachers to a device."""
        for teacher in self._teachers:
            teacher.model.to(device)

    def records(self) -> list[dict[str, Any]]:
        """Return a :func:`~floodseg.training.lineage.model_record` of each teacher, with the sensors that it uses."""
        return list(self._records)

    def loss(self, logits: Tensor, batch: Sample, trained: Tensor) -> Tensor:
        """Return the weighted distillation loss of a batch for the student's ``logits`` (N, 2, H, W).

        Pixels of the mask ``trained`` (N, H, W) count; those without a label only if ``distil_unlabelled`` is set.
        """
        target, counted = self.targets(batch)
        counted = counted & trained
        if not self.unlabelled:
            counted = counted & (batch["label"] != IGNORE)
        return self.weight * distil_loss(logits, target, counted)

    @torch.no_grad()
    def targets(self, batch: Sample) -> tuple[Tensor, Tensor]:
        """Return the mean calibrated probability of the best teachers at each pixel, and the mask of pixels with one.

        Both are (N, H, W): float32 from 0 to 1 (0 without a target), and bool.
        """
        ranks = torch.stack([_rank(teacher, batch) for teacher in self._teachers])
        chosen = (ranks == ranks.amax(dim=0)) & (ranks > 0)
        total = torch.zeros(batch["label"].shape, device=ranks.device)
        for teacher, pixels in zip(self._teachers, chosen, strict=True):
            samples = pixels.flatten(1).any(dim=1).nonzero()[:, 0]
            if len(samples):
                total[samples] += torch.where(pixels[samples], _probability(teacher, batch, samples), 0.0)
        number = chosen.sum(dim=0)
        return total / number.clamp(min=1), number > 0


def _remove_context_prior(teacher: AnyModel) -> None:
    """Remove the context priors of a teacher, because the student applies its own.

    The temperature was fitted with the prior. The resulting error is smaller than that of applying the prior twice.
    """
    for model in plain_models(teacher).values():
        model.set_context_prior(0.0)


def load_teachers(config: TrainConfig, bands: Bands) -> Teachers | None:
    """Return the teachers that the settings name, or None without any; errors as in :class:`Teachers`."""
    models = [(name, load_model(name)) for name in config.distil.teacher]
    return Teachers(models, config, bands) if models else None


def _rank(teacher: _Teacher, batch: Sample) -> Tensor:
    """Return the rank of a teacher at each pixel, (N, H, W) integers; 0 where none of its sensors is valid.

    A valid sensor outweighs any number of missing ones.
    """
    valid = torch.stack([batch[f"{sensor}_valid"][:, 0] for sensor in teacher.channels]).sum(dim=0)
    missing = len(teacher.model.spec.bands.sensors) - valid
    return torch.where(valid > 0, (len(SENSORS) + 1) * valid - missing, 0)


def _probability(teacher: _Teacher, batch: Sample, samples: Tensor) -> Tensor:
    """Return a teacher's calibrated water probability for some samples of a batch, (n, H, W) float32."""
    images: dict[Sensor, Tensor | None] = {}
    masks: dict[Sensor, Tensor] = {}
    for sensor in SENSORS:
        channels, valid = teacher.channels.get(sensor), batch[f"{sensor}_valid"][samples]
        images[sensor] = None if channels is None else batch[sensor][samples][:, channels]
        masks[sensor] = torch.zeros_like(valid) if channels is None else valid
    logits = teacher.model(images["sar"], images["optical"], masks["sar"], masks["optical"])
    return teacher.model.decisions.probability(logits, masks["sar"], masks["optical"])


def _channels(name: str, teacher: Bands, chips: Bands) -> dict[Sensor, list[int]]:
    """Return the indices of the chip channels that a teacher takes, for each sensor that both have."""
    shared = [sensor for sensor in teacher.sensors if sensor in chips.sensors]
    for sensor in shared:
        if not bands_fit(teacher, chips, sensor):
            raise ConfigError(
                f"`teacher={name}`: takes {SENSOR_NAMES[sensor]} images of {teacher.only(sensor)}, but the chips hold "
                f"{chips.only(sensor)}; choose a teacher that takes the bands of the chips"
            )
    if not shared:
        raise ConfigError(
            f"`teacher={name}`: takes {SENSOR_NAMES[teacher.sensor_set]} images, but the chips hold none; choose "
            "another teacher"
        )
    return {sensor: [chips.names(sensor).index(band) for band in teacher.names(sensor)] for sensor in shared}
