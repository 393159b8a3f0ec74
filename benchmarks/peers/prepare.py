"""Inputs of the comparison: a simulated scene, a real scene and the weights of a U-Net.

    python -m benchmarks.peers.prepare FOLDER --data DIR

FOLDER gets `simulated.tif`, `unet.pt` and, if DIR names the tree of Sen1Floods11, `spain.tif`: the mosaic of its chips
of Spain. The U-Net of segmentation_models_pytorch (resnet34, radar alone, from scratch) is trained on simulated chips
for a few minutes, so that its maps show water. It is not a good model, and the comparison scores no map.
"""

from pathlib import Path

import numpy as np
import rasterio
import segmentation_models_pytorch as smp
import torch
from cyclopts import App
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.scenes.spain import build_mosaic
from floodseg.app.exit_codes import run_and_exit
from floodseg.bands import IGNORE, SAR_BANDS, Bands
from floodseg.chips.chip import Chip
from floodseg.config.data import DataConfig
from floodseg.datasets.synthetic import SyntheticChips, simulate_scene

app = App(help="Write the inputs of the comparison with other tools.")

_EVENT, _SEED = "delta", 11
"""Simulated flood of the scene. The scene of this seed has no swath edge."""
_CROP, _BATCH = 256, 4
_LEARNING_RATE = 1e-3


@app.default
def prepare(folder: Path, *, data: Path | None = None, size: int = 1536, steps: int = 150) -> None:
    """Write scenes and weights.

    Parameters
    ----------
    folder
        Folder of the files.
    data
        Official tree of Sen1Floods11. Without it, no real scene is written.
    size
        Height and width of the scenes in pixels.
    steps
        Training steps of the U-Net, of four simulated chips each.
    """
    folder.mkdir(parents=True, exist_ok=True)
    write_scene(folder / "simulated.tif", simulate_scene(_SEED, size, size, _EVENT, sensors="sar"))
    if data is not None:
        write_scene(folder / "spain.tif", build_mosaic(data, size).chip(Bands(sar=SAR_BANDS, optical=())))
    torch.save(train_unet(steps).state_dict(), folder / "unet.pt")


def write_scene(path: Path, chip: Chip) -> None:
    """Write the radar image of a chip as a GeoTIFF: VV and VH in dB, float32, NaN where invalid."""
    assert chip.grid is not None
    with rasterio.open(
        path, "w", driver="GTiff", height=chip.grid.height, width=chip.grid.width, count=len(chip.sar), dtype="float32",
        crs=chip.grid.crs, transform=rasterio.Affine(*chip.grid.transform), nodata=np.nan, tiled=True, blockxsize=512,
        blockysize=512, compress="deflate",
    ) as file:  # fmt: skip
        file.write(np.where(chip.sar_valid, chip.sar, np.float32(np.nan)))
        file.descriptions = SAR_BANDS


def train_unet(steps: int) -> nn.Module:
    """Return a U-Net that was trained on simulated chips; equal ``steps`` give equal weights on one machine."""
    torch.manual_seed(0)
    model: nn.Module = smp.Unet("resnet34", encoder_weights=None, in_channels=2, classes=2)
    optimiser = torch.optim.AdamW(model.parameters(), lr=_LEARNING_RATE)
    chips = SyntheticChips(
        "train",
        DataConfig(layout="synthetic", sensors="sar", synthetic_chips=steps * _BATCH, synthetic_size=_CROP),
    )
    for step in range(steps):
        images, labels = _batch([chips.read(index) for index in range(step * _BATCH, (step + 1) * _BATCH)])
        loss = F.cross_entropy(model(images), labels, ignore_index=IGNORE)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return model.eval()


def _batch(chips: list[Chip]) -> tuple[Tensor, Tensor]:
    """Return images (N, 2, H, W), normalised as in the scripts, and labels (N, H, W)."""
    images = np.stack([np.where(chip.sar_valid, (chip.sar + 15) / 6, 0).astype(np.float32) for chip in chips])
    labels = np.stack([np.where(chip.sar_valid, chip.label, IGNORE) for chip in chips])
    return torch.from_numpy(images), torch.from_numpy(labels).long()


if __name__ == "__main__":
    run_and_exit(app)
