"""Base class of models that save themselves for ``floodseg.from_pretrained``."""

from pathlib import Path
from typing import TYPE_CHECKING, cast

from torch import nn

if TYPE_CHECKING:
    from floodseg.models.multi_sensor import AnyModel


class PretrainedModel(nn.Module):
    """A network with a description, which ``floodseg.from_pretrained`` loads."""

    def save_pretrained(self, folder: str | Path) -> Path:
        """Save the model as a folder that :func:`floodseg.from_pretrained` and a model hub accept.

        ``model.safetensors`` holds the weights, ``config.json`` the description and a checksum of both, and
        ``README.md`` the model card. The text of an existing card is kept, its metadata are replaced. A multi-sensor
        model is saved with the weights of all its parts, also if it was loaded from a folder that only names them.

        Args:
            folder: folder to write, which is created if it does not exist.

        Returns:
            The folder.

        Raises:
            ConfigError: the folder cannot be written.

        Example:
            >>> model = floodseg.load_model("s1-lite")
            >>> sorted(file.name for file in model.save_pretrained("shared").iterdir())
            ['README.md', 'config.json', 'model.safetensors']
        """
        from floodseg.models.checkpoint.hub import save_pretrained  # imports this module

        save_pretrained(Path(folder), cast("AnyModel", self))
        return Path(folder)
