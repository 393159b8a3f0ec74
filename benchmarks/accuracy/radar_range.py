"""Scores of radar models on changed chips: offsets, added speckle, coarser pixels.

    python -m benchmarks.accuracy.radar_range --models s1-lite --data DIR --json FILE

All scores are the water IoU of global counts on labels of 10 m, at the stored threshold of the model.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
from cyclopts import App, Parameter
from numpy.typing import NDArray

from benchmarks.report import report
from floodseg.app.exit_codes import run_and_exit
from floodseg.chips.chip import Chip
from floodseg.config.data import DataConfig
from floodseg.datasets.layouts import open_layout
from floodseg.evaluation.methods import apply_model
from floodseg.evaluation.metrics.counts import ChipScore, count, score_chips
from floodseg.models.checkpoint.zoo import load_model
from floodseg.models.model import FloodModel

app = App(help="Scores of radar models on changed chips.", default_parameter=Parameter(consume_multiple=True))
Change = Callable[[Chip], Chip]
Map = Callable[[FloodModel, Chip], ChipScore]
_INCIDENCE = (29.1, 46.0)
"""Incidence angle in degrees at the near and far edge of the interferometric wide swath (Sentinel-1 specification)."""
_FLOORS = np.array([-22.9, -27.8], np.float32)[:, None, None]
"""Smallest values of VV and VH in the training data, in dB."""


@app.default
def radar_range(
    *,
    models: tuple[str, ...] = ("s1-lite",),
    config: Annotated[DataConfig, Parameter(name="*")] = DataConfig(),  # noqa: B008 (frozen: cannot be changed)
    split: str = "valid",
    json_file: Annotated[Path | None, Parameter(name="--json")] = None,
) -> None:
    """Score the models with every change.

    Parameters
    ----------
    models
        Names of shipped radar models, run folders or checkpoints.
    config
        Data set.
    split
        Split whose chips are changed.
    json_file
        Write the result as one JSON object.
    """
    chips = open_layout(replace(config, sensors="sar"), split)
    scores = {
        name: _scores(load_model(name), [chips.read(index) for index in range(len(chips.names))]) for name in models
    }
    report({"split": split, "water_iou": scores}, json_file)


def _scores(model: FloodModel, chips: list[Chip]) -> dict[str, float | None]:
    scores = {}
    for name, mapping in _cases().items():
        scores[name] = score_chips([mapping(model, chip) for chip in chips])["water_iou"]
        print(f"{name}: {scores[name]:.4f}", flush=True)
    return scores


def _cases() -> dict[str, Map]:
    shifts = {f"{shift:+g} dB": _map_changed(_shift(shift)) for shift in (-3, -2, -1, -0.5, 0.5, 1, 2, 3)}
    return {
        "as it is": _map_changed(lambda chip: chip),
        "values of the floor down to -50 dB": _map_changed(_lower_floor),
        **shifts,
        "gamma nought for sigma nought": _map_changed(_to_gamma_nought),
        **{f"more speckle, {looks} looks": _map_changed(_add_speckle(looks)) for looks in (16, 4)},
        **{f"{10 * times} m pixels": _coarse(times, back=False) for times in (2, 3)},
        **{f"{10 * times} m pixels, resampled to 10 m": _coarse(times, back=True) for times in (2, 3)},
    }


def _map_changed(change: Change) -> Map:
    return lambda model, chip: apply_model(model, change(chip)).score


def _shift(decibels: float) -> Change:
    return lambda chip: replace(chip, sar=chip.sar + np.float32(decibels))


def _lower_floor(chip: Chip) -> Chip:
    """Replace the smallest stored value by random values down to 25 dB below it, as in float products."""
    decrease = np.random.default_rng(0).uniform(0, 25, chip.sar.shape).astype(np.float32)
    return replace(chip, sar=np.where(chip.sar <= _FLOORS, chip.sar - decrease, chip.sar))


def _to_gamma_nought(chip: Chip) -> Chip:
    """Divide by the cosine of the incidence angle, as if the chip covered the complete swath."""
    angle = np.deg2rad(np.linspace(*_INCIDENCE, chip.sar.shape[2]))
    return replace(chip, sar=chip.sar - 10 * np.log10(np.cos(angle)).astype(np.float32))


def _add_speckle(looks: int) -> Change:
    def change(chip: Chip) -> Chip:
        noise = np.random.default_rng(0).gamma(looks, 1 / looks, chip.sar.shape)
        return replace(chip, sar=chip.sar + 10 * np.log10(noise).astype(np.float32))

    return change


def _coarse(times: int, *, back: bool) -> Map:
    """Return a function that maps means over ``times`` x ``times`` pixels; ``back`` resamples them to 10 m first."""

    def mapped(model: FloodModel, chip: Chip) -> ChipScore:
        side = chip.label.shape[0] // times * times
        trimmed = Chip(
            chip.name, chip.event, chip.sar[:, :side, :side], chip.optical[:, :side, :side],
            chip.sar_valid[:side, :side], chip.optical_valid[:side, :side], chip.label[:side, :side], None,
        )  # fmt: skip
        valid = _blocks(trimmed.sar_valid, times).all(axis=(1, 3))
        power = 10 ** (_blocks(trimmed.sar, times) / 10)
        means = (10 * np.log10(power.mean(axis=(2, 4)))).astype(np.float32)
        if back:
            return apply_model(
                model, replace(trimmed, sar=_repeat(means, times), sar_valid=_repeat(valid, times))
            ).score
        small = replace(
            trimmed, sar=means, sar_valid=valid, optical=trimmed.optical[:, ::times, ::times],
            optical_valid=trimmed.optical_valid[::times, ::times], label=trimmed.label[::times, ::times],
        )  # fmt: skip
        water = _repeat(apply_model(model, small).water, times)
        return _score(trimmed, water, _repeat(valid, times))

    return mapped


def _score(chip: Chip, water: NDArray[np.bool_], valid: NDArray[np.bool_]) -> ChipScore:
    counts = count(torch.from_numpy(water), torch.from_numpy(chip.label), torch.from_numpy(valid))
    return ChipScore(chip.name, chip.event, counts)


def _blocks(array: NDArray[np.generic], times: int) -> NDArray[np.generic]:
    """Return a view of (..., H, W) as (..., H / times, times, W / times, times)."""
    *lead, height, width = array.shape
    return array.reshape(*lead, height // times, times, width // times, times)


def _repeat(array: NDArray[np.generic], times: int) -> NDArray[np.generic]:
    return array.repeat(times, axis=-2).repeat(times, axis=-1)


if __name__ == "__main__":
    run_and_exit(app)
