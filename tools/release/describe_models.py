"""Remake what describes the shipped models: numbers of chips, checksums, metadata of the cards, STAC items.

    python tools/release/describe_models.py

For each shipped model, in this order:

* ``config.json`` gets the scores of ``benchmarks/results/NAME-SPLIT.json``, which ``floodseg evaluate NAME --json``
  writes, and a new checksum.
* ``CARD.md`` gets new metadata above its text, made from ``config.json``.
* ``item.json`` is written: a STAC item with the machine learning model extension.
"""

import json
from pathlib import Path
from typing import Any

from cyclopts import App
from model_items import ITEM_FILE, model_item

from floodseg.app.exit_codes import run_and_exit
from floodseg.errors import ConfigError
from floodseg.models.checkpoint.card import SPLITS, card_metadata, with_metadata
from floodseg.models.checkpoint.description import CONFIG_FILE, read_description, write_description
from floodseg.models.checkpoint.zoo import WEIGHTS
from floodseg.system.files import write_text

RESULTS = Path(__file__).parents[2] / "benchmarks/results"
_EVALUATED = ("water_iou_ci95", "ece", "n_chips", "n_chips_counted", "n_pixels")
_SCORES = ("water_iou", "miou", "f1", "precision", "recall", *_EVALUATED)
_MARK = "<!-- The metadata above are made by tools/release/describe_models.py. -->"
"""First line of the text of a card, after which the documentation site includes it."""
_TOLERANCE = 1e-3
"""Largest difference between the water IoU of the training and that of the evaluation, which runs in OpenVINO."""

app = App(help="Remake what describes the shipped models.")


@app.default
def describe(*, weights: Path = WEIGHTS) -> None:
    """Rewrite config.json, the metadata of CARD.md, and item.json of each shipped model.

    Parameters
    ----------
    weights
        Folder of the models.
    """
    folders = sorted(file.parent for file in weights.glob(f"*/{CONFIG_FILE}"))
    for folder in folders:
        description = read_description(folder)
        _add_evaluations(folder.name, description["scores"])
        write_description(folder, description)
        card = folder / "CARD.md"
        text = card.read_text(encoding="utf-8")
        if _MARK not in text:
            text = f"{_MARK}\n\n{text}"
        write_text(card, with_metadata(text, card_metadata(folder.name, description)))
    for folder in folders:  # the item of a fused model describes files of its parts
        write_text(folder / ITEM_FILE, json.dumps(model_item(folder), indent=2) + "\n")
        print(folder / ITEM_FILE)


def _add_evaluations(name: str, scores: dict[str, Any]) -> None:
    """Set intervals, calibration errors and numbers of chips of the scores of a model, and add further splits.

    Raises:
        ConfigError: the evaluation is that of other weights.
    """
    for split in SPLITS:
        file = RESULTS / f"{name}-{split}.json"
        if not file.is_file():
            continue
        evaluation = json.loads(file.read_text(encoding="utf-8"))
        found = {key: evaluation[key] for key in _SCORES}
        known = scores.setdefault(split, found)
        if abs(known["water_iou"] - found["water_iou"]) > _TOLERANCE:
            raise ConfigError(
                f"{file}: has water IoU {found['water_iou']:.4f}, but config.json of {name} has "
                f"{known['water_iou']:.4f}; run floodseg evaluate {name} --split {split} --json {file} again"
            )
        scores[split] = found | known | {key: found[key] for key in _EVALUATED}


if __name__ == "__main__":
    run_and_exit(app)
