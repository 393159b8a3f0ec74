"""Map a scene with the tiled inference of TerraTorch and a U-Net of segmentation_models_pytorch."""

import sys

import numpy as np
import rasterio
import segmentation_models_pytorch as smp
import torch
from terratorch.tasks.tiled_inference import tiled_inference

scene, weights, folder = sys.argv[1:]
model = smp.Unet("resnet34", encoder_weights=None, in_channels=2, classes=2)
model.load_state_dict(torch.load(weights))
model.eval()

with rasterio.open(scene) as source:
    image, profile = source.read(), source.profile
images = torch.from_numpy(np.nan_to_num((image + 15) / 6))[None]
classes = tiled_inference(model, images, crop=512, stride=448).argmax(1)[0].numpy().astype("uint8")
classes[np.isnan(image).any(axis=0)] = 255
with rasterio.open(f"{folder}/map.tif", "w", **profile | {"count": 1, "dtype": "uint8", "nodata": 255}) as target:
    target.write(classes, 1)
