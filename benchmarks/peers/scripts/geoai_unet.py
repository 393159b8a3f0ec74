"""Map a scene with the tiled inference of geoai and a U-Net of segmentation_models_pytorch."""

import sys

import numpy as np
import segmentation_models_pytorch as smp
import torch
from geoai.inference import predict_geotiff

scene, weights, folder = sys.argv[1:]
model = smp.Unet("resnet34", encoder_weights=None, in_channels=2, classes=2)
model.load_state_dict(torch.load(weights))

predict_geotiff(
    model,
    scene,
    f"{folder}/map.tif",
    tile_size=512,
    num_classes=2,
    output_dtype="uint8",
    output_nodata=255,
    preprocess_fn=lambda tile: np.nan_to_num((tile + 15) / 6),
    postprocess_fn=lambda logits: logits.argmax(axis=0),
)
