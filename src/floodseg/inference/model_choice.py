"""Choice of the shipped model by the sensors of a scene."""

from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from floodseg.bands import SensorSet
from floodseg.errors import ConfigError

if TYPE_CHECKING:  # imports PyTorch
    from floodseg.models.multi_sensor import AnyModel

AUTO = "auto"
"""Value of ``model`` that chooses a shipped model."""

SHIPPED_BY_SENSORS: dict[SensorSet, str] = {"sar": "s1-efficient", "optical": "s2", "both": "s1s2"}
"""The most accurate shipped model for each set of sensors."""

_IMAGES: dict[SensorSet, str] = {
    "sar": "radar images alone", "optical": "optical images alone", "both": "radar and optical images",
}  # fmt: skip

Model = TypeVar("Model", bound="str | Path | AnyModel")


def choose_model(
    model: Model, *, sar: bool, optical: bool, source: str = "the scene"
) -> tuple[Model | str, str | None]:
    """Return the model of the settings or, for ``auto``, the shipped model for the images.

    Args:
        model: value of the setting.
        sar: True if there are radar images.
        optical: True if there are optical images.
        source: subject of the sentence that states the reason.

    Returns:
        The model, and a sentence with the reason for the choice; None instead of the sentence without ``auto``.

    Raises:
        ConfigError: ``auto`` without an image.
    """
    if model != AUTO:
        return model, None
    if not sar and not optical:
        raise ConfigError("no image to map; set `sar`, `optical` or both")
    sensors: SensorSet = "both" if sar and optical else "sar" if sar else "optical"
    return SHIPPED_BY_SENSORS[sensors], f"auto: {source} has {_IMAGES[sensors]}"
