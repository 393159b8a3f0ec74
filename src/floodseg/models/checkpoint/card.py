"""Metadata of model cards: YAML front matter with the scores as a model index.

The format is that of the Hugging Face Hub (https://huggingface.co/docs/hub/model-cards#model-card-metadata).
"""

import re
from typing import Any

from huggingface_hub import EvalResult, ModelCardData

from floodseg.bands import SENSORS

SPLITS = {"valid": "validation", "test": "test", "bolivia": "held-out (Bolivia)", "held-out": "held-out"}
"""Names of scored splits in a model index."""

_DATA_SETS = {"sen1floods11": "Sen1Floods11, hand-labelled chips", "ombria": "OMBRIA"}
_METRICS = {
    "water_iou": ("iou", "IoU of water"),
    "miou": ("mean_iou", "mean IoU of land and water"),
    "f1": ("f1", "F1 of water"),
    "precision": ("precision", "precision of water"),
    "recall": ("recall", "recall of water"),
    "ece": ("expected_calibration_error", "expected calibration error"),
}
"""Type and name of each metric in a model index, by its name in the scores."""
_SIZES = ("n_chips", "n_chips_counted", "n_pixels")
_TAGS = {"sar": "sentinel-1", "optical": "sentinel-2"}
_CHOSEN = "the epoch, the threshold and the temperature were chosen on this split"
_FENCE = "---\n"
_METADATA = re.compile(r"\A---\n(.*?\n)?---(\n|\Z)", re.DOTALL)


def card_metadata(name: str, description: dict[str, Any]) -> ModelCardData:
    """Return the metadata of a model card.

    Args:
        name: name of the model.
        description: the content of ``config.json``. A model without scores gets no model index.
    """
    results = [
        result for split, scores in description["scores"].items() for result in _results(description, split, scores)
    ]
    licence = description["training"].get("licence")
    return ModelCardData(
        model_name=name if results else None,
        license=licence and licence.lower(),
        library_name="floodseg",
        pipeline_tag="image-segmentation",
        tags=["flood-mapping", *(tag for sensor, tag in _TAGS.items() if description["bands"][sensor])],
        eval_results=results or None,
    )


def _results(description: dict[str, Any], split: str, scores: dict[str, Any]) -> list[EvalResult]:
    """Return one result for each metric of a scored split, with the numbers of chips and pixels."""
    layout = description["training"].get("layout", "unknown")
    data = description["training"].get("data", layout).partition(";")[0]
    details = {key: scores[key] for key in _SIZES if key in scores} | ({"note": _CHOSEN} if split == "valid" else {})
    return [
        EvalResult(
            task_type="image-segmentation",
            dataset_type=layout,
            dataset_name=_DATA_SETS.get(layout, f"parts that were not trained on, of {data}"),
            dataset_split=SPLITS.get(split, split),
            dataset_args=details or None,
            metric_type=kind,
            metric_name=title,
            metric_value=scores[key],
            metric_args=_interval(scores) if key == "water_iou" else None,
        )
        for key, (kind, title) in _METRICS.items()
        if scores.get(key) is not None
    ]


def _interval(scores: dict[str, Any]) -> dict[str, Any] | None:
    interval = scores.get("water_iou_ci95")
    return interval and {"ci95": interval, "ci95_method": "bootstrap over chips"}


def with_metadata(card: str, metadata: ModelCardData) -> str:
    """Return the text of a card with other metadata; its other text is kept."""
    return f"{_FENCE}{metadata.to_yaml()}\n{_FENCE}{_METADATA.sub('', card)}"


def new_card(name: str, description: dict[str, Any]) -> str:
    """Return the text of the card of a new model, without metadata."""
    bands, data = description["bands"], description["training"].get("data")
    sensors = " and ".join(f"{', '.join(bands[each])} ({bands[f'{each}_unit']})" for each in SENSORS if bands[each])
    return (
        f"\n# {name}\n\n"
        f"Water on satellite images, by a model of floodseg: architecture `{description['architecture']}`, "
        f"{description['parameters']:,} parameters. Input: {sensors}. Output: logits of land and water.\n\n"
        f"Training data: {data or 'not described'}.\n\n"
        "```python\nimport floodseg\n\n"
        'model = floodseg.from_pretrained("FOLDER")\n```\n'
    )
