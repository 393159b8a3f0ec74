"""Ways to train ``spectral`` that the recipe does not use, for :mod:`benchmarks.accuracy.optical_variants`."""

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import torch
from timm.utils.model_ema import ModelEmaV3
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, relu

from benchmarks.accuracy.optical_domains import BANDS, DOMAINS, OFFSET, TILE, LabelledChip, write
from floodseg.bands import IGNORE, LAND, WATER
from floodseg.chips.chip import ChipSet
from floodseg.chips.loader import ChipDataset, EpochSampler, Sample
from floodseg.config.train import AugmentConfig, DataConfig, OptimConfig
from floodseg.datasets.layouts import open_layout
from floodseg.models.networks.spectral import SpectralNet, spectral
from floodseg.training.optimizer import new_optimizer, new_schedule

UNLABELLED = ("aquileia", "sundarbans")
SATURATED = 9999
"""Stored number of the scenes from which a pixel is not labelled."""
TILES = 36
"""Largest number of tiles of an unlabelled scene."""


@dataclass(frozen=True)
class Variant:
    """A way to train; the defaults are those of the recipe without its penalty."""

    penalty: float = 0.0
    """Weight of the mean square of the correction in the loss."""
    balanced: bool = False
    """Weigh crops so that each domain counts once."""
    kept: float = 1.0
    """Share of the crops that get the correction in training."""
    slope: float = 6.0
    """Slope of NDWI before training."""
    bound: float = 4.0
    """Largest correction."""
    scenes: bool = False
    """Train on the unlabelled scenes, too, with the classes of NDWI where it is below -0.1 or above 0.1."""


VARIANTS = {
    "recipe": Variant(),
    "penalty": Variant(penalty=0.02),
    "penalty-balanced": Variant(penalty=0.02, balanced=True),
    "dropped": Variant(kept=0.5, slope=12.0, bound=6.0),
    "scenes": Variant(scenes=True),
    "shipped": Variant(),
}
"""The shipped weights are read, not trained."""


@dataclass(frozen=True)
class Run:
    """One training and the folder of its data and results."""

    variant: str
    left_out: str
    """Domain, or "none"."""
    seed: int

    def data(self, chips: Path) -> Path:
        """Return the folder of the training chips."""
        return chips / ("all" if self.left_out == "none" else f"without-{self.left_out}")

    def file(self, runs: Path) -> Path:
        """Return the file of the log-odds."""
        return runs / f"{self.variant}-{self.left_out}-{self.seed}.npz"


def open_chips(folder: Path, split: str) -> ChipSet:
    """Open chips that optical_domains wrote."""
    return open_layout(DataConfig(data=folder, layout="folders", sensors="optical"), split)


def _domain(chip: str) -> str:
    return next((domain for domain in DOMAINS if chip.startswith(domain)), "dfc24")


def train(run: Run, chips: Path, source: Path, recipe: dict[str, Any]) -> SpectralNet:
    """Return the network with averaged weights after training on the chips of a run."""
    variant = VARIANTS[run.variant]
    settings = {each.name: recipe[each.name] for each in fields(AugmentConfig) if each.name in recipe}
    augment = AugmentConfig(**settings)
    optim = OptimConfig(**{each.name: recipe[each.name] for each in fields(OptimConfig) if each.name in recipe})
    sets = [(open_chips(run.data(chips), "train"), augment)]
    if variant.scenes:
        sets.append((open_chips(_scenes(source, chips), "all"), replace(augment, crops_per_chip=1)))
    low, high = reflectance_range(run, chips)
    torch.manual_seed(run.seed)
    network = spectral().train().to(memory_format=torch.channels_last)
    with torch.no_grad():
        network.slope.fill_(variant.slope)
    average = ModelEmaV3(network, decay=optim.ema, use_warmup=True)
    optimizer, generator, step = new_optimizer(network, optim), torch.Generator().manual_seed(run.seed), 0
    crops = sum(len(found.names) * augmentation.crops_per_chip for found, augmentation in sets)
    schedule = new_schedule(optimizer, optim, crops // optim.batch_size)
    for epoch in range(optim.epochs):
        for batch in _batches(sets, run, epoch, optim.batch_size):
            batch["optical"] = batch["optical"].clamp(low, high) * batch["optical_valid"]
            loss = _loss(network, batch, variant, generator)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(network.parameters(), optim.clip_norm)
            optimizer.step()
            step += 1
            if step < schedule.total_steps:
                schedule.step()
            average.update(network, step=step)
    averaged: SpectralNet = average.module.eval()
    return averaged


def _batches(sets: list[tuple[ChipSet, AugmentConfig]], run: Run, epoch: int, size: int) -> Iterator[dict[str, Tensor]]:
    """Yield the batches of an epoch, with the weights of the crops under "weight"; a short last batch is left out."""
    samples: list[Sample] = []
    domains: list[str] = []
    for chips, augment in sets:
        dataset = ChipDataset(chips, augment, run.seed)
        sampler = EpochSampler(len(dataset), run.seed)
        sampler.set_epoch(epoch)
        for key in sampler:
            samples.append(dataset[key])
            domains.append(_domain(chips.names[key.index % len(chips.names)]))
    order = np.arange(len(samples))
    if len(sets) > 1:
        order = torch.randperm(len(samples), generator=torch.Generator().manual_seed(100 * run.seed + epoch)).numpy()
    counts = {domain: domains.count(domain) for domain in domains}
    weights = np.array([1 / counts[domain] for domain in domains]) * len(domains) / len(counts)
    if not VARIANTS[run.variant].balanced:
        weights[:] = 1
    for start in range(0, len(samples) // size * size, size):
        chosen = [samples[index] for index in order[start : start + size]]
        batch = {name: torch.stack([sample[name] for sample in chosen]) for name in chosen[0]}
        yield {**batch, "weight": torch.from_numpy(weights[order[start : start + size]]).float()[:, None, None]}


def _loss(network: SpectralNet, batch: dict[str, Tensor], variant: Variant, generator: torch.Generator) -> Tensor:
    valid = batch["optical_valid"].float()
    base, correction = parts(network, batch["optical"], valid, variant.bound)
    kept: Tensor | float = 1.0
    if variant.kept < 1:
        kept = (torch.rand(len(valid), 1, 1, 1, generator=generator) < variant.kept).float()
    label = batch["label"]
    weight = (((label == LAND) | (label == WATER)) & batch["optical_valid"][:, 0]) * batch["weight"]
    target = (label == WATER).float()
    pixels = binary_cross_entropy_with_logits((base + kept * correction)[:, 0], target, reduction="none")
    loss: Tensor = (pixels * weight).sum() / weight.sum().clamp(min=1)
    if variant.penalty:
        loss = loss + variant.penalty * (correction.square() * valid).sum() / valid.sum().clamp(min=1)
    return loss


def parts(network: SpectralNet, image: Tensor, valid: Tensor, bound: float) -> tuple[Tensor, Tensor]:
    """Return the log-odds of NDWI and the correction, (N, 1, H, W) each (see ``SpectralNet.forward``)."""
    features = network.indices(image.contiguous(memory_format=torch.channels_last), valid)
    context = network.pixelwise(features) * valid
    for convolution in network.context:
        context = context + relu(convolution(context)) * valid
    base = network.slope * features[:, :1] + network.offset
    return base, bound * torch.tanh(network.head(context) / bound)


def reflectance_range(run: Run, chips: Path) -> tuple[Tensor, Tensor]:
    """Return the smallest and largest reflectance (6, 1, 1) of the training chips."""
    training = open_chips(run.data(chips), "train")
    pixels = (chip.optical[:, chip.optical_valid] for chip in map(training.read, range(len(training.names))))
    ranges = np.array([(values.min(axis=1), values.max(axis=1)) for values in pixels if values.size])
    low, high = ranges[:, 0].min(axis=0), ranges[:, 1].max(axis=0)
    return torch.from_numpy(low)[:, None, None], torch.from_numpy(high)[:, None, None]


def _scenes(source: Path, chips: Path) -> Path:
    """Write tiles of the unlabelled scenes, with the classes of NDWI where it is certain; return their folder."""
    folder = chips / "ndwi-scenes"
    for name in UNLABELLED:
        with rasterio.open(source / "unlabelled" / f"{name}_L2A.tif") as scene:
            image = scene.read([scene.descriptions.index(band) + 1 for band in BANDS]).astype(np.int16)
        green, nir = image[1].astype(np.float32), image[3].astype(np.float32)
        ndwi = (green - nir) / np.maximum(green + nir, 200)
        label = np.where(np.abs(ndwi) <= 0.1, IGNORE, ndwi > 0).astype(np.uint8)
        label[(image >= SATURATED).any(axis=0)] = IGNORE
        rows, columns = (range(0, side - TILE // 2, TILE) for side in label.shape)
        cuts = [np.s_[top : top + TILE, left : left + TILE] for top in rows for left in columns]
        chosen = np.random.default_rng(0).choice(len(cuts), min(len(cuts), TILES), replace=False)
        for number, index in enumerate(sorted(chosen)):
            part = image[:, *cuts[index]] + np.int16(OFFSET)
            write([LabelledChip(f"{name}0_{number:03d}", part, label[cuts[index]])], folder)
    return folder
