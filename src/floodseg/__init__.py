"""floodseg: flood maps from Sentinel-1 radar and Sentinel-2 optical imagery.

The public names are loaded when first used, so that ``import floodseg`` does not import torch.
"""

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from floodseg.config import AugmentConfig, DataConfig, ModelConfig, OptimConfig, TrainConfig
    from floodseg.inference.flood_map import FloodMap
    from floodseg.learning.evaluate import evaluate
    from floodseg.models.registry import build_model
    from floodseg.release.benchmark.run import benchmark
    from floodseg.release.export import export
    from floodseg.release.predict import predict_scene
    from floodseg.release.shipped import load_model
    from floodseg.release.train import train

__all__ = [
    "AugmentConfig",
    "DataConfig",
    "FloodMap",
    "ModelConfig",
    "OptimConfig",
    "TrainConfig",
    "benchmark",
    "build_model",
    "evaluate",
    "export",
    "load_model",
    "predict_scene",
    "train",
]

__version__ = version("floodseg")

_HOME = {
    "AugmentConfig": "floodseg.config",
    "DataConfig": "floodseg.config",
    "FloodMap": "floodseg.inference.flood_map",
    "ModelConfig": "floodseg.config",
    "OptimConfig": "floodseg.config",
    "TrainConfig": "floodseg.config",
    "benchmark": "floodseg.release.benchmark.run",
    "build_model": "floodseg.models.registry",
    "evaluate": "floodseg.learning.evaluate",
    "export": "floodseg.release.export",
    "load_model": "floodseg.release.shipped",
    "predict_scene": "floodseg.release.predict",
    "train": "floodseg.release.train",
}


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module 'floodseg' has no attribute '{name}'; its names are {', '.join(__all__)}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
