"""Demo: a simulated, georeferenced scene and all of its products."""

from pathlib import Path

from floodseg.config.predict import PredictConfig
from floodseg.inference.flood_map import FloodMap
from floodseg.inference.predict import predict_config
from floodseg.products.folder import check_unfinished
from floodseg.simulate.demo_scene import make_demo_scene


def run_demo(out_dir: Path, *, overwrite: bool = False, show_progress: bool = False) -> FloodMap:
    """Write a simulated scene of a flooded river to ``out_dir``/scene, and its map to ``out_dir``/flood.

    The shipped model of both sensors maps it. Clouds hide a part of the optical image.

    Raises:
        RunFolderError: the folder holds finished products, and ``overwrite`` is not set.
    """
    check_unfinished(out_dir / "flood", overwrite=overwrite)  # before the simulation, which takes seconds
    scene = make_demo_scene(out_dir / "scene")
    config = PredictConfig(out_dir=out_dir / "flood", scene=scene.config())
    return predict_config(config, overwrite=overwrite, show_progress=show_progress)
