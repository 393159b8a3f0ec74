"""Sources of the images of a scene: the STAC item that lies beside an image, as ``floodseg fetch`` writes it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from logging import getLogger
from pathlib import Path
from typing import Any

from floodseg.config.predict import IMAGES, SceneConfig
from floodseg.messages import redacted
from floodseg.raster.access import file_on_disk, is_remote

ITEM = "item.json"
_NOTES = ("floodseg:notes", "floodseg:map_notes")
_MAX_BYTES = 10_000_000
_COPIED = ("sat:", "sar:", "s1:", "s2:", "processing:")
_COPIED_NAMES = ("platform", "constellation", "instruments")
_SUMMARISED = {
    "floodseg:covered_share": "covered_share", "floodseg:sources": "items", "floodseg:attribution": "attribution",
}  # fmt: skip
"""Properties that ``summary.json`` holds, and their names there."""

_LOG = getLogger("floodseg")


@dataclass(frozen=True, slots=True)
class ImageSource:
    """STAC item of an image."""

    setting: str
    """Setting that names the image."""
    item: Mapping[str, Any]

    @property
    def links(self) -> list[str]:
        """Addresses of the items that the image is made from, without secrets; else that of the item itself."""
        links = [link for link in self.item.get("links", []) if isinstance(link, dict) and "href" in link]
        for relation in ("derived_from", "self"):
            found = [redacted(str(link["href"])) for link in links if link.get("rel") == relation]
            if found:
                return found
        return []

    @property
    def properties(self) -> dict[str, Any]:
        """Properties on the orbit, the instrument and the processing."""
        return {
            name: value
            for name, value in self.item["properties"].items()
            if name.startswith(_COPIED) or name in _COPIED_NAMES
        }

    @property
    def notes(self) -> list[str]:
        """Sentences on how the image was made."""
        lists = [self.item["properties"].get(name) for name in _NOTES]
        return [str(note) for notes in lists if isinstance(notes, list) for note in notes]

    @property
    def summary(self) -> dict[str, Any]:
        """Entry of ``summary.json``: setting, identifier, time, covered share and source items."""
        properties = self.item["properties"]
        entry = {"setting": self.setting, "id": self.item.get("id"), "datetime": properties.get("datetime")}
        return entry | {name: properties[key] for key, name in _SUMMARISED.items() if key in properties}


def image_sources(config: SceneConfig) -> tuple[ImageSource, ...]:
    """Return the sources of the images of a scene, in the order of their settings.

    An item counts only if one of its assets is the image. An item that cannot be read is logged and left out.
    """
    found = []
    for setting in IMAGES:
        files = getattr(config, setting)
        item = _item_beside(files[0]) if files else None
        if item is not None:
            found.append(ImageSource(setting, item))
    return tuple(found)


def _item_beside(image: str) -> dict[str, Any] | None:
    if is_remote(image) or file_on_disk(image) != Path(image):
        return None
    path = Path(image).with_name(ITEM)
    try:
        if not path.is_file() or path.stat().st_size > _MAX_BYTES:
            return None
        item = json.loads(path.read_text(encoding="utf-8"))
        if item.get("type") != "Feature" or not isinstance(item["properties"], dict):
            return None
        names = [Path(str(asset["href"])).name for asset in item["assets"].values()]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        _LOG.warning("%s: cannot be read (%s), so the products do not name the sources of %s", path, error, image)
        return None
    return item if Path(image).name in names else None
