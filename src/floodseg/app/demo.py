"""Demonstration: a simulated scene, georeferenced like a real one, and every product of it."""

from pathlib import Path

from floodseg.config.predict import PredictConfig
from floodseg.inference.flood_map import FloodMap
from floodseg.inference.predict import DEFAULT_MODEL, predict
from floodseg.products.folder import check_unfinished
from floodseg.simulate.demo_scene import make_demo_scene


def run_demo(out_dir: Path, *, overwrite: bool = False, show_progress: bool = False) -> FloodMap:
    """Write a river in flood to ``out_dir``/scene, both sensors and all layers, and its map to ``out_dir``/flood.

    The default model maps it by radar; the optical image is there to be tried with a model of both sensors.

    Raises:
        RunFolderError: there are finished products, and ``overwrite`` is not set.
    """
    check_unfinished(out_dir / "flood", overwrite)  # before a scene is made in vain
    scene = make_demo_scene(out_dir / "scene")
    config = PredictConfig(out_dir=out_dir / "flood", scene=scene.config("sar"))
    return predict(config, DEFAULT_MODEL, overwrite=overwrite, show_progress=show_progress)
