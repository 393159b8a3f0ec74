"""floodseg: flood maps from Sentinel-1 radar and Sentinel-2 optical imagery.

Public names are imported on first use, so that ``import floodseg`` is fast and does not import PyTorch. Mapping and
scoring with shipped models do not need PyTorch. Other functions need extras of the package.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from floodseg.analysis.depth.run import flood_depth
    from floodseg.analysis.exposure.exposure import exposure
    from floodseg.analysis.series.run import flood_series
    from floodseg.benchmarking.run import benchmark
    from floodseg.catalog.search import search
    from floodseg.config.data import DataConfig
    from floodseg.config.train import AugmentConfig, ModelConfig, OptimConfig, TrainConfig
    from floodseg.deployment.export import export
    from floodseg.evaluation.evaluate import evaluate
    from floodseg.inference.flood_map import FloodMap
    from floodseg.inference.predict import predict_scene
    from floodseg.models.checkpoint.hub import from_pretrained
    from floodseg.models.checkpoint.zoo import load_model
    from floodseg.models.listing import list_models
    from floodseg.models.registry import build_model
    from floodseg.training.train import train
    from floodseg.workflows.fetch import fetch
    from floodseg.workflows.map_place import map_place

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
    "exposure",
    "fetch",
    "flood_depth",
    "flood_series",
    "from_pretrained",
    "list_models",
    "load_model",
    "map_place",
    "predict_scene",
    "search",
    "train",
]

__version__: str

_MODULES = {
    "AugmentConfig": "floodseg.config.train",
    "DataConfig": "floodseg.config.data",
    "FloodMap": "floodseg.inference.flood_map",
    "ModelConfig": "floodseg.config.train",
    "OptimConfig": "floodseg.config.train",
    "TrainConfig": "floodseg.config.train",
    "benchmark": "floodseg.benchmarking.run",
    "build_model": "floodseg.models.registry",
    "evaluate": "floodseg.evaluation.evaluate",
    "export": "floodseg.deployment.export",
    "exposure": "floodseg.analysis.exposure.exposure",
    "fetch": "floodseg.workflows.fetch",
    "flood_depth": "floodseg.analysis.depth.run",
    "flood_series": "floodseg.analysis.series.run",
    "from_pretrained": "floodseg.models.checkpoint.hub",
    "list_models": "floodseg.models.listing",
    "load_model": "floodseg.models.checkpoint.zoo",
    "map_place": "floodseg.workflows.map_place",
    "predict_scene": "floodseg.inference.predict",
    "search": "floodseg.catalog.search",
    "train": "floodseg.training.train",
}

_EXTRAS = {
    "benchmark": ("benchmark", "torch"),
    "build_model": ("train", "torch", "timm"),
    "export": ("export", "torch", "onnx"),
    "exposure": ("exposure", "exactextract"),
    "train": ("train", "torch", "timm", "accelerate", "tensorboard"),
}
"""Extra that a public function needs, followed by the packages of this extra that are checked before the import."""


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("floodseg")
    if name in _MODULES:
        if name in _EXTRAS:
            from floodseg.system.extras import require_extra

            extra, *packages = _EXTRAS[name]
            require_extra(extra, *packages, purpose=f"floodseg.{name}")
        return getattr(import_module(_MODULES[name]), name)
    raise AttributeError(f"module 'floodseg' has no attribute '{name}'; its names are {', '.join(__all__)}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
