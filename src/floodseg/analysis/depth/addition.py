"""Depth products beside those of the map from which they are computed."""

from pathlib import Path

from floodseg.analysis.depth.documents import depth_assets
from floodseg.analysis.depth.products import DepthRun, write_depth
from floodseg.products.class_map import open_class_map
from floodseg.products.folder import CLASSES
from floodseg.products.writer import Addition
from floodseg.scene.acquisition import Acquisition


def add_depth(folder: Path, run: DepthRun, acquisition: Acquisition | None) -> Addition:
    """Write the depth of the map in a folder into the same folder; ``summary.json`` gets an entry ``depth``.

    Raises:
        FloodsegError: as in ``write_depth``.
    """
    with open_class_map(str(folder / CLASSES)) as class_map:
        result = write_depth(class_map, folder, run, acquisition)
    assets = {key: asset.to_dict() for key, asset in depth_assets(result.statistics).items()}
    return Addition({"depth": dict(result.entries)}, result.notes, assets)
