"""STAC items beside images."""

import json
from pathlib import Path
from typing import Any

import pytest

from floodseg.config.predict import SceneConfig
from floodseg.scene.image_sources import image_sources

ITEM: dict[str, Any] = {
    "type": "Feature",
    "id": "pass",
    "properties": {
        "datetime": "2024-10-31T05:27:14Z", "sat:relative_orbit": 95, "processing:lineage": "cut", "title": "x",
        "floodseg:covered_share": 0.5, "floodseg:notes": ["a note"],
    },
    "links": [
        {"rel": "self", "href": "https://a.example/item"},
        {"rel": "derived_from", "href": "https://a.example/one?sig=secret"},
    ],
    "assets": {"sar": {"href": "./sar.tif"}},
}  # fmt: skip


def scene_with(folder: Path, item: Any) -> SceneConfig:
    (folder / "sar.tif").touch()
    (folder / "item.json").write_text(item if isinstance(item, str) else json.dumps(item))
    return SceneConfig(sar=(str(folder / "sar.tif"),))


def test_item_beside_an_image_is_its_source(tmp_path: Path) -> None:
    (source,) = image_sources(scene_with(tmp_path, ITEM))
    assert source.setting == "sar"
    assert source.links == ["https://a.example/one?***"]
    assert source.properties == {"sat:relative_orbit": 95, "processing:lineage": "cut"}
    assert source.notes == ["a note"]
    assert source.summary == {
        "setting": "sar", "id": "pass", "datetime": "2024-10-31T05:27:14Z", "covered_share": 0.5,
    }  # fmt: skip


def test_item_without_sources_is_named_itself(tmp_path: Path) -> None:
    (source,) = image_sources(scene_with(tmp_path, {**ITEM, "links": ITEM["links"][:1]}))
    assert source.links == ["https://a.example/item"]


@pytest.mark.parametrize(
    "item",
    [{**ITEM, "assets": {"sar": {"href": "./other.tif"}}}, {**ITEM, "type": "FeatureCollection"}],
    ids=["other-image", "collection"],
)
def test_item_of_another_image_is_not_its_source(item: dict[str, Any], tmp_path: Path) -> None:
    assert image_sources(scene_with(tmp_path, item)) == ()


@pytest.mark.parametrize(
    "content", ["{", "[]", '{"type": "Feature"}', '{"type": "Feature", "properties": {}, "assets": 3}']
)
def test_damaged_item_is_logged_and_left_out(content: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert image_sources(scene_with(tmp_path, content)) == ()
    assert "item.json: cannot be read" in caplog.text
    assert "so the products do not name the sources of" in caplog.text


def test_images_without_items_have_no_source(tmp_path: Path) -> None:
    assert image_sources(SceneConfig(sar=("https://a.example/sar.tif",), allow_remote=True)) == ()
    assert image_sources(SceneConfig(sar=(str(tmp_path / "sar.tif"),))) == ()
