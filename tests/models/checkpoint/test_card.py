"""Model cards: metadata equal the scores, the text is kept."""

import json
from pathlib import Path

import pytest
from huggingface_hub import EvalResult, ModelCard, ModelCardData

import floodseg
from document_blocks import ROOT
from floodseg.models.checkpoint.card import with_metadata
from floodseg.models.checkpoint.zoo import WEIGHTS, shipped_models

METRICS = {
    "iou": "water_iou", "mean_iou": "miou", "f1": "f1", "precision": "precision", "recall": "recall",
    "expected_calibration_error": "ece",
}  # fmt: skip
SPLITS = {"validation": "valid", "test": "test", "held-out": "held-out"}


def results(card: Path) -> list[EvalResult]:
    return ModelCard.load(card).data.eval_results or []


@pytest.mark.parametrize("name", [model.name for model in shipped_models()])
def test_card_has_the_scores_of_the_description_and_the_evaluation(name: str) -> None:
    scores = json.loads((WEIGHTS / name / "config.json").read_text())["scores"]
    found = results(WEIGHTS / name / "CARD.md")
    assert {SPLITS[str(each.dataset_split)] for each in found} == set(scores)
    for each in found:
        split = SPLITS[str(each.dataset_split)]
        assert each.metric_value == scores[split][METRICS[each.metric_type]]
        evaluation = json.loads((ROOT / f"benchmarks/results/{name}-{split}.json").read_text())
        assert each.metric_value == pytest.approx(evaluation[METRICS[each.metric_type]], abs=1e-3)
        assert each.dataset_args is not None
        assert [each.dataset_args[key] for key in ("n_chips", "n_chips_counted", "n_pixels")] == [
            evaluation[key] for key in ("n_chips", "n_chips_counted", "n_pixels")
        ]
        if split == "valid":
            assert "chosen on this split" in each.dataset_args["note"]
    intervals = [each.metric_args["ci95"] for each in found if each.metric_args]
    assert intervals == [each["water_iou_ci95"] for each in scores.values()]


def test_model_without_scores_has_no_results_and_says_so() -> None:
    card = ModelCard.load(WEIGHTS / "s1s2/CARD.md")
    assert card.data.to_dict().keys() & {"model-index", "model_name"} == set()
    assert "It has no score of its own" in card.text


def test_saved_card_has_metadata_and_keeps_its_text(tmp_path: Path) -> None:
    model = floodseg.load_model("s1-lite")
    card = model.save_pretrained(tmp_path / "mine") / "README.md"
    data = ModelCard.load(card).data.to_dict()
    assert (data["license"], data["library_name"], data["tags"]) == (
        "apache-2.0", "floodseg", ["flood-mapping", "sentinel-1"],
    )  # fmt: skip
    [value] = [each.metric_value for each in results(card) if each.metric_type == "iou"]
    assert value == model.provenance.scores["valid"]["water_iou"]
    assert "# mine\n" in card.read_text()
    card.write_text(card.read_text().replace("# mine", "# My own words\n\n---\n"))
    model.provenance.scores = {}
    model.save_pretrained(card.parent)
    assert "# My own words\n\n---\n" in card.read_text()
    assert card.read_text().count("library_name") == 1
    assert results(card) == []


@pytest.mark.parametrize(
    ("card", "text"),
    [
        ("---\nmine: 1\n---\n# Words\n", "# Words\n"),
        ("---\nmine: 1\n---", ""),
        ("---\n---\n# Words", "# Words"),
        ("---\n# Words after a line\n", "---\n# Words after a line\n"),
    ],
)
def test_only_complete_metadata_are_replaced(card: str, text: str) -> None:
    metadata = ModelCardData(license="mit")
    assert with_metadata(card, metadata) == f"---\nlicense: mit\n---\n{text}"
