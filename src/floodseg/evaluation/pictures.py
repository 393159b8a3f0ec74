"""Pictures of an evaluation: reliability, thresholds, worst chips, scores under clouds."""

from functools import reduce
from operator import add
from pathlib import Path
from typing import TYPE_CHECKING

from floodseg.chips.chip import ChipSet
from floodseg.evaluation.methods import Method
from floodseg.evaluation.metrics.counts import ReliabilityBins
from floodseg.evaluation.plots.curves import cloud_picture, reliability_picture, threshold_picture
from floodseg.evaluation.plots.images import PictureRow
from floodseg.evaluation.plots.panels import rows_picture

if TYPE_CHECKING:
    from floodseg.evaluation.evaluate import Evaluation

WORST_CHIPS = 10
"""Chips in ``worst_chips.png``."""


def draw_pictures(method: Method, evaluation: "Evaluation", chips: ChipSet, out_dir: Path) -> None:
    """Write the pictures that the scores of an evaluation allow.

    These are ``worst_chips.png``, ``reliability.png`` and ``thresholds.png`` (with a probability) and ``clouds.png``
    (with clouds).
    """
    bins = [score.reliability for score in evaluation.chips if score.reliability is not None]
    title = f"{Path(method.name).name} on {evaluation.document['split']}"
    if bins:
        reliability_picture(out_dir / "reliability.png", reduce(add, bins, ReliabilityBins()), title)
    wrong = {score.name: score.counts.fp + score.counts.fn for score in evaluation.chips}
    worst = sorted((name for name in wrong if wrong[name]), key=lambda name: -wrong[name])[:WORST_CHIPS]
    rows = [_row(method, chips, chips.names.index(name)) for name in worst]
    if rows:
        rows_picture(out_dir / "worst_chips.png", rows, f"{title}: chips with the most wrong pixels")
    if evaluation.document["thresholds"]:
        threshold_picture(out_dir / "thresholds.png", evaluation.document["thresholds"], title)
    if "clouds" in evaluation.document:
        cloud_picture(out_dir / "clouds.png", evaluation.document["clouds"], title)


def _row(method: Method, chips: ChipSet, index: int) -> PictureRow:
    chip = chips.read(index)
    result = method.apply(chip, chips.bands)
    counts = result.score.counts
    iou = "undefined" if counts.water_iou is None else f"{counts.water_iou:.2f}"
    caption = f"water IoU {iou}, missed {counts.fn:,}, false {counts.fp:,} pixels"
    return PictureRow(chip, chips.bands, result.probability, result.water, caption, result.valid)
