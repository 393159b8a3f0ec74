"""Picture of the chips with the most wrong pixels: image, label, probability, errors.

python -m benchmarks.accuracy.worst_chips --model s1-lite --data DIR --picture worst.png
"""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import matplotlib.pyplot as plt
import numpy as np
from cyclopts import App, Parameter

from floodseg.app.exit_codes import run_and_exit
from floodseg.chips.chip import Chip
from floodseg.config.data import DataConfig
from floodseg.datasets.layouts import open_layout
from floodseg.evaluation.methods import ChipResult, apply_model
from floodseg.models.checkpoint.zoo import load_model

app = App(help="Picture of the chips with the most wrong pixels.", default_parameter=Parameter(consume_multiple=True))
_RANGES = ((-23, 0), (-28, -5))
"""Values of VV and VH in dB that are drawn black and white."""


@app.default
def worst_chips(
    *,
    picture: Path,
    model: str = "s1-lite",
    config: Annotated[DataConfig, Parameter(name="*")] = DataConfig(),  # noqa: B008 (frozen: cannot be changed)
    split: str = "valid",
    number: int = 10,
) -> None:
    """Print the chips with the most wrong pixels, and draw them.

    Parameters
    ----------
    picture
        PNG file to write.
    model
        Name of a shipped radar model, run folder or checkpoint.
    config
        Data set.
    split
        Split of the data set.
    number
        Number of chips.
    """
    chips, network = open_layout(replace(config, sensors="sar"), split), load_model(model)
    read = [chips.read(index) for index in range(len(chips.names))]
    results = [apply_model(network, chip) for chip in read]
    wrong = [result.score.counts.fp + result.score.counts.fn for result in results]
    worst = np.argsort(wrong)[::-1][:number]
    for index in worst:
        counts = results[index].score.counts
        iou = counts.water_iou or 0
        print(f"{read[index].name}: IoU {iou:.3f}, {counts.fp} false, {counts.fn} missed, {counts.tp} hit")
    shown = sum(wrong[index] for index in worst) / max(1, sum(wrong))
    print(f"{shown:.0%} of all wrong pixels of {len(read)} chips")
    draw([(read[index], results[index]) for index in worst], picture)


def draw(rows: list[tuple[Chip, ChipResult]], picture: Path) -> None:
    """Draw one row per chip: VV, VH, label, probability, and errors (red: false water, blue: missed water)."""
    figure, axes = plt.subplots(len(rows), 5, figsize=(10, 2.1 * len(rows)), layout="constrained", squeeze=False)
    for line, (chip, result) in zip(axes, rows, strict=True):
        for axis, band, (low, high) in zip(line, chip.sar, _RANGES, strict=False):
            axis.imshow(np.where(chip.sar_valid, band, np.nan), cmap="gray", vmin=low, vmax=high)
        line[2].imshow(np.where(chip.label == 255, np.nan, chip.label), cmap="Blues", vmin=0, vmax=1)
        line[3].imshow(result.probability, cmap="viridis", vmin=0, vmax=1)
        errors = np.ones((*chip.label.shape, 3))
        counted = (chip.label != 255) & result.valid
        errors[counted & result.water & (chip.label == 1)] = (0.8, 0.8, 0.8)
        errors[counted & result.water & (chip.label == 0)] = (0.85, 0.1, 0.1)
        errors[counted & ~result.water & (chip.label == 1)] = (0.1, 0.2, 0.85)
        line[4].imshow(errors)
        line[0].set_ylabel(chip.name, fontsize=7)
        for axis in line:
            axis.set_xticks([])
            axis.set_yticks([])
    for axis, title in zip(axes[0], ("VV", "VH", "label", "probability", "red false, blue missed"), strict=True):
        axis.set_title(title, fontsize=8)
    figure.savefig(picture, dpi=90)


if __name__ == "__main__":
    run_and_exit(app)
