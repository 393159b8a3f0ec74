"""Map a scene with a U-Net of segmentation_models_pytorch in the windows of floodseg, and write its products.

It uses internal functions, because floodseg maps only with its own architectures.
"""

import sys
from pathlib import Path

import torch

from floodseg.bands import SAR_BANDS, Bands
from floodseg.benchmarking.smp_networks import SmpNetwork
from floodseg.config.predict import PredictConfig, SceneConfig
from floodseg.inference.pipeline import predict_files
from floodseg.models.model import FloodModel, ModelSpec
from floodseg.runtimes.torch_runtime import TorchRuntime

OVERLAP = 192
"""Overlap of windows in pixels: that of the architecture `efficient`, which has the same encoder."""

scene, weights, folder = sys.argv[1:]
network = SmpNetwork("smp-unet", channels=len(SAR_BANDS))
network.network.load_state_dict(torch.load(weights))
model = FloodModel(network, ModelSpec("smp-unet", "resnet34", Bands(sar=SAR_BANDS, optical=()))).eval()
config = PredictConfig(out_dir=Path(folder), scene=SceneConfig(sar=(scene,)))
predict_files(config, TorchRuntime(model, "cpu", overlap=OVERLAP), "smp-unet", overwrite=True)
