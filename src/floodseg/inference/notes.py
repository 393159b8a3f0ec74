"""Notes of ``summary.json`` on the sensors that decide a map, and on its date."""

from collections.abc import Mapping, Sequence
from logging import getLogger

import numpy as np
from numpy.typing import NDArray

from floodseg.messages import SENSOR_NAMES, percent
from floodseg.products.info import ProductInfo
from floodseg.runtimes.base import Runtime
from floodseg.scene.scene import OPTICAL_CLEAR, OPTICAL_HIDDEN

_LOG = getLogger("floodseg")


def sensor_notes(
    runtime: Runtime, shares: Mapping[str, float], images: Sequence[str], *, earlier_radar: bool
) -> list[str]:
    """Return the notes on a map of a model of both sensors, and log that an image decides no pixel.

    Args:
        runtime: the model.
        shares: share of the valid pixels that each set of sensors decides.
        images: sensors of the scene, ``sar`` and ``optical``.
        earlier_radar: True if water in an earlier radar image counts as permanent water.
    """
    notes = []
    if len(images) > 1:
        for sensor in images:
            if not shares[sensor] and not shares["both"]:
                notes.append(f"the {SENSOR_NAMES[sensor]} image decides no pixel: it is nodata or hidden everywhere")
                _LOG.warning("%s", notes[-1])
    if runtime.optical_margin and shares["sar"] and shares["both"]:
        margin = runtime.optical_margin
        notes.append(f"within {margin} rows and columns of a pixel that only radar sees, radar decides alone")
    if runtime.finds_clouds and shares["both"]:
        notes.append(
            "under clouds that the model finds in the optical image, its radar model decides; these pixels count as "
            "decided by both sensors"
        )
    if earlier_radar and (shares["optical"] or shares["both"]):
        notes.append(
            "the earlier water is that of radar alone, so permanent water that only the optical image shows counts as "
            "flood"
        )
    return notes


def hidden_notes(masks: Sequence[str], pixels: NDArray[np.int64]) -> list[str]:
    """Return the note on the share of the optical pixels of a map that cloud masks hide, if there are such pixels.

    Args:
        masks: names of the masks.
        pixels: (3,), number of pixels by the code of ``SceneWindow.optical_codes``.
    """
    clear, hidden = int(pixels[OPTICAL_CLEAR]), int(pixels[OPTICAL_HIDDEN])
    if not masks or not clear + hidden:
        return []
    names = " and ".join(dict.fromkeys(masks))
    return [f"{percent(hidden / (clear + hidden))} of the optical pixels are hidden as clouds, by {names}"]


def log_missing_date(info: ProductInfo) -> list[str]:
    """Log a note if the scene has no date, and return it as the only item of a list."""
    if info.acquisition is not None:
        return []
    names = " ".join(name for sensor in ("sar", "optical") for name in info.inputs.get(sensor, ())) or "the arrays"
    note = f"{names}: no date in the tags or the file name, so item.json is not written; set `datetime`"
    _LOG.warning("%s", note)
    return [note]
