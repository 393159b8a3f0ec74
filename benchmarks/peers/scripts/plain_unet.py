"""Map a scene with rasterio and a U-Net of segmentation_models_pytorch: windows without overlap."""

import sys

import numpy as np
import rasterio
import segmentation_models_pytorch as smp
import torch
from rasterio.windows import Window

SIZE = 512

scene, weights, folder = sys.argv[1:]
model = smp.Unet("resnet34", encoder_weights=None, in_channels=2, classes=2)
model.load_state_dict(torch.load(weights))
model.eval()

with rasterio.open(scene) as source, torch.inference_mode():
    profile = source.profile | {"count": 1, "dtype": "uint8", "nodata": 255}
    with rasterio.open(f"{folder}/map.tif", "w", **profile) as target:
        for row in range(0, source.height, SIZE):
            for column in range(0, source.width, SIZE):
                window = Window(column, row, SIZE, SIZE)
                image = source.read(window=window, boundless=True, fill_value=np.nan)
                logits = model(torch.from_numpy(np.nan_to_num((image + 15) / 6))[None])
                classes = logits.argmax(1)[0].numpy().astype("uint8")
                classes[np.isnan(image).any(axis=0)] = 255
                inside = window.intersection(Window(0, 0, source.width, source.height))
                target.write(classes[: inside.height, : inside.width], 1, window=inside)
