"""Teachers: trained models whose calibrated probability is a soft target beside the labels (Hinton et al. 2015).

At each pixel those teachers answer that see the most of what is valid there, and of them those that miss the least: a
model of both sensors where both are valid, a specialist of radar where the optical image is withheld or under a masked
cloud. Several that are equally well informed are averaged.
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
from floodseg.models.model import FloodModel
from floodseg.models.specialists.multi_sensor import specialists_of
from floodseg.training.lineage import FindModel, check_event, facts


def distil_loss(logits: Tensor, target: Tensor, taught: Tensor) -> Tensor:
    """Return the mean Kullback-Leibler divergence of the student's water probability from the teachers'.

    ``q log(q / p) + (1 - q) log((1 - q) / (1 - p))``, with q the target and ``p = sigmoid(logit_water - logit_land)``:
    0 where both agree, and in its gradient the cross entropy with a soft label.

    Args:
        logits: (N, 2, H, W), any floating dtype; at pixels that are not taught they may be NaN.
        target: (N, H, W) float32, 0 to 1.
        taught: (N, H, W) bool, the pixels that count.

    Returns:
        Scalar float32; exactly 0, with gradients of exactly 0, where no pixel is taught.
    """
    margin = logits[:, WATER].float() - logits[:, 1 - WATER].float()
    margin = torch.where(taught, margin, 0.0)
    entropy = torch.special.entr(target) + torch.special.entr(1 - target)
    divergence = softplus(margin) - target * margin - entropy
    return torch.where(taught, divergence, 0.0).sum() / taught.sum().clamp(min=1)


@dataclass(frozen=True)
class _Teacher:
    name: str
    model: FloodModel
    channels: dict[Sensor, list[int]]
    """Which channels of the data it takes, in its order, for each sensor that both have."""


class Teachers:
    """The teachers of one run, on its device; they are never trained.

    Args:
        models: each by the name under which it was given.
        config: the run's settings.
        bands: of the chips that are learned from.
        device: where the run computes.

    Raises:
        ConfigError: a teacher takes bands or units that the chips do not have, or knows the event that is held out.
    """

    def __init__(
        self, models: Sequence[tuple[str, FloodModel]], config: TrainConfig, bands: Bands, device: torch.device
    ) -> None:
        self.weight, self.unlabelled = config.distil.distil_weight, config.distil.distil_unlabelled
        # as they are given: what a run does to them is no matter of theirs
        self._facts = [facts(name, model) for name, model in models]
        self._teachers = [_Teacher(name, model, _channels(name, model.spec.bands, bands)) for name, model in models]
        for teacher in self._teachers:
            check_event("teacher", teacher.name, teacher.model, config.data.hold_out_event)
            teacher.model.eval().requires_grad_(False).to(device).to(memory_format=torch.channels_last)
            if config.model.context_prior:
                _without_context(teacher.model)

    def facts(self) -> list[dict[str, Any]]:
        """Return what a run writes down of each, see ``known_models.facts``; of sensors those that the chips hold."""
        return [
            known | {"sensors": list(each.channels)} for known, each in zip(self._facts, self._teachers, strict=True)
        ]

    def loss(self, logits: Tensor, batch: Sample) -> Tensor:
        """Return the weighted distillation loss of a batch, whose student gave ``logits`` (N, 2, H, W).

        Pixels without a label count where the settings say so.
        """
        target, taught = self.targets(batch)
        if not self.unlabelled:
            taught = taught & (batch["label"] != IGNORE)
        return self.weight * distil_loss(logits, target, taught)

    @torch.no_grad()
    def targets(self, batch: Sample) -> tuple[Tensor, Tensor]:
        """Return the mean calibrated probability of the best informed teachers, and where there are any.

        Both are (N, H, W), float32 from 0 to 1 (0 where there is none) and bool.
        """
        informed = torch.stack([_informed(teacher, batch) for teacher in self._teachers])
        chosen = (informed == informed.amax(dim=0)) & (informed > 0)
        total = torch.zeros(batch["label"].shape, device=informed.device)
        for teacher, here in zip(self._teachers, chosen, strict=True):
            samples = here.flatten(1).any(dim=1).nonzero()[:, 0]
            if len(samples):
                total[samples] += torch.where(here[samples], _answer(teacher, batch, samples), 0.0)
        number = chosen.sum(dim=0)
        return total / number.clamp(min=1), number > 0


def _without_context(teacher: FloodModel) -> None:
    """Take a teacher's context priors away, for a student that is moved by its context itself: it would move twice.

    The temperature was fitted with the prior; what it is off by is less than moving twice.
    """
    for model in (teacher, *specialists_of(teacher).values()):
        model.set_context_prior(0.0)


def open_teachers(config: TrainConfig, bands: Bands, device: torch.device, find_model: FindModel) -> Teachers | None:
    """Return the teachers that a run names, see :class:`Teachers`; None where it names none."""
    models = [(name, find_model(name)) for name in config.distil.teacher]
    return Teachers(models, config, bands, device) if models else None


def _informed(teacher: _Teacher, batch: Sample) -> Tensor:
    """Return how well a teacher is informed at each pixel, (N, H, W): 0 where it sees nothing.

    A sensor that is seen counts more than any number of those that are missing.
    """
    valid = torch.stack([batch[f"{sensor}_valid"][:, 0] for sensor in teacher.channels])
    seen = valid.sum(dim=0)
    missing = len(teacher.model.spec.bands.sensors) - seen
    return torch.where(seen > 0, (len(SENSORS) + 1) * seen - missing, 0)


def _answer(teacher: _Teacher, batch: Sample, samples: Tensor) -> Tensor:
    """Return a teacher's calibrated probability for some samples of a batch, (n, H, W) float32."""
    images: dict[Sensor, Tensor | None] = {}
    masks: dict[Sensor, Tensor] = {}
    for sensor in SENSORS:
        channels, valid = teacher.channels.get(sensor), batch[f"{sensor}_valid"][samples]
        images[sensor] = None if channels is None else batch[sensor][samples][:, channels]
        masks[sensor] = torch.zeros_like(valid) if channels is None else valid
    logits = teacher.model(images["sar"], images["optical"], masks["sar"], masks["optical"])
    return teacher.model.decisions.probability(logits, masks["sar"], masks["optical"])


def _channels(name: str, taken: Bands, held: Bands) -> dict[Sensor, list[int]]:
    """Return the indices of a teacher's bands among those of the chips, for each sensor that both have."""
    shared = [sensor for sensor in taken.sensors if sensor in held.sensors]
    for sensor in shared:
        if not bands_fit(taken, held, sensor):
            raise ConfigError(
                f"--teacher {name}: takes {sensor} images of {taken.only(sensor)}, and the chips hold "
                f"{held.only(sensor)}; choose a teacher that was trained on such data"
            )
    if not shared:
        raise ConfigError(
            f"--teacher {name}: takes {' and '.join(taken.sensors)} images, and the chips hold none; choose another "
            "teacher"
        )
    return {sensor: [held.names(sensor).index(band) for band in taken.names(sensor)] for sensor in shared}
