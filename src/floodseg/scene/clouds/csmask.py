"""Cloud network of the package ukis-csmask (extra ``clouds``), run in ONNX Runtime.

Wieland, M., Li, Y., Martinis, S. (2019), Multi-sensor cloud and cloud shadow segmentation with a convolutional neural
network, Remote Sensing of Environment 230. The networks of version 1.0 were trained on SPARCS and CloudSEN12+.
"""

import json
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from floodseg.bands import ProductLevel, canonical_band
from floodseg.errors import ConfigError
from floodseg.scene.clouds.coarse_mask import TILE
from floodseg.system.extras import is_installed, require_extra

CSMASK_BANDS = ("B02", "B03", "B04", "B08", "B11", "B12")
"""Bands of the network. B8A can stand in for B08."""
CLOUD_PROBABILITY = 0.7
"""Lowest probability of cloud. At 0.5 haze over visible water is hidden, too."""
_CLOUD = 1
"""Class code of cloud; 0 is clear and 2 shadow. Shadow is not used, since dark water is taken for shadow."""
_PACKAGES = ("ukis_csmask", "onnxruntime")


def csmask_is_installed() -> bool:
    """Return True if the packages of the extra ``clouds`` are installed."""
    return all(is_installed(package) for package in _PACKAGES)


def require_csmask() -> None:
    """Raise ConfigError with the pip command if the extra ``clouds`` is not installed."""
    require_extra("clouds", *_PACKAGES, purpose="`cloud_mask=csmask`")


class Csmask:
    """The network for one processing level, in one session.

    Implements :class:`floodseg.scene.clouds.coarse_mask.CloudDetector`. Each call computes on the calling thread.

    Args:
        bands: bands of the images in the order of ``CSMASK_BANDS``.
        level: processing level of the images.

    Raises:
        ConfigError: the extra is not installed, or the file of the network is missing.
    """

    margin = 32

    def __init__(self, bands: Sequence[str], level: ProductLevel) -> None:
        require_csmask()
        import onnxruntime

        self.bands = tuple(bands)
        path = _folder() / f"model_6b_{level.lower()}.onnx"
        if not path.is_file():
            raise ConfigError(f"`cloud_mask=csmask`: {path} is missing; run pip install --force-reinstall ukis-csmask")
        statistics = json.loads(path.with_suffix(".json").read_text())["data"]["dataset_statistics"]
        order = [CSMASK_BANDS.index(canonical_band(name, "optical") or "") for name in statistics["band_names"]]
        self._order = np.array(order)
        self._mean, self._std = (np.array(row, np.float32)[:, None, None] for row in statistics["img"])
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self._input = self._session.get_inputs()[0].name

    def clouds(self, reflectance: NDArray[np.float32]) -> NDArray[np.bool_]:
        """Return the cells that are cloud, (H, W), from reflectance (6, H, W); H and W are at most 256."""
        height, width = reflectance.shape[1:]
        image = (reflectance[self._order] - self._mean) / self._std
        # the network takes tiles of one size; a smaller image is extended by reflection
        image = np.pad(image, ((0, 0), (0, TILE - height), (0, TILE - width)), mode="symmetric")
        logits = self._session.run(None, {self._input: image[None]})[0][0]
        exponentials = np.exp(logits - logits.max(axis=0))
        clouds: NDArray[np.bool_] = exponentials[_CLOUD] > CLOUD_PROBABILITY * exponentials.sum(axis=0)
        return clouds[:height, :width]


def _folder() -> Path:
    """Return the folder of the package, whose modules are not imported."""
    spec = find_spec("ukis_csmask")
    assert spec is not None, "require_csmask"
    assert spec.origin is not None, "a package with an __init__.py"
    return Path(spec.origin).parent
