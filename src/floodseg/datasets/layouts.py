"""Access to the chips of one split, for all layouts."""

import os
from dataclasses import replace
from pathlib import Path

from floodseg.chips.chip import ChipSet
from floodseg.config.data import DataConfig
from floodseg.datasets.folders import open_folders
from floodseg.datasets.ombria import open_ombria
from floodseg.datasets.sen1floods11 import open_sen1floods11
from floodseg.datasets.synthetic import SyntheticChips
from floodseg.errors import DataError


def open_layout(config: DataConfig, split: str) -> ChipSet:
    """Open the chips of one split.

    Raises:
        DataError: the folder is missing, the split does not exist, or the data break the contract of their layout.
    """
    if config.layout == "synthetic":
        return SyntheticChips(split, config)
    if config.layout == "folders":
        return open_folders(config, _root(config) if _needs_root(config) else None, split)
    open_files = open_ombria if config.layout == "ombria" else open_sen1floods11
    return open_files(config, _root(config), split)


def with_root(config: DataConfig) -> DataConfig:
    """Return the configuration with ``data`` filled in from FLOODSEG_DATA if it is not set."""
    return replace(config, data=_root(config)) if config.data is None and _needs_root(config) else config


def _needs_root(config: DataConfig) -> bool:
    if config.layout != "folders":
        return config.layout != "synthetic"
    return not all(folder.is_absolute() for folder in (config.sar_dir, config.opt_dir, config.mask_dir))


def _root(config: DataConfig) -> Path:
    """Return the folder of the data set, which must exist."""
    setting = f"`data={config.data}`"
    if config.data is not None:
        root = config.data
    elif parent := os.environ.get("FLOODSEG_DATA"):
        root = Path(parent) / config.layout
        setting = f"FLOODSEG_DATA={parent}"
    else:
        raise DataError(
            f"layout {config.layout} needs a folder; set `data`, or set the environment variable "
            f"FLOODSEG_DATA to the folder that contains {config.layout}"
        )
    if not root.is_dir():
        raise DataError(f"{setting}: {root} is not a folder; correct the path")
    return root
