"""Passes fetched from the local servers."""

from pathlib import Path

import numpy as np
import rasterio

import floodseg
from place_scenes import Service, World


def test_x(world: World, service: Service, tmp_path: Path) -> None:
    (fetched,) = floodseg.fetch(**service.settings(), out_dir=tmp_path / "passes")
    with rasterio.open(fetched.images[0]) as source:
        left, top = round((source.transform.c - 735_000) / 10), round((4_990_000 - source.transform.f) / 10)
        expected = world.db["flood"][:, top : top + source.height, left : left + source.width]
        np.testing.assert_allclose(source.read(), expected, atol=1e-4)
    m = floodseg.map_place(**service.settings(), out_dir=tmp_path / "map")
    import json
    print(json.dumps(m.summary, indent=1))
    print((tmp_path/"map"/"item.json").read_text())
    import os
    os.system(f"rm -rf /tmp/fetch/m; cp -r {tmp_path}/map /tmp/fetch/m")
    o = floodseg.fetch(**service.settings(sensors="optical"), out_dir=tmp_path / "passes2")
    print(o[0].images)
    floodseg.predict_scene(optical=o[0].images, cloud_mask=o[0].cloud_mask, model="ndwi", out_dir=tmp_path / "o")
    os.system(f"cp -r {tmp_path}/o /tmp/fetch/m/")
    assert 0
