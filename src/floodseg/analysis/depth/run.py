"""``floodseg.flood_depth``: water depth of a flood map, from an elevation model.

::

    map, heights -- survey -- shore samples -- levels at nodes --+
         +-------------------------------------------------------+-- depth, uncertainty, volumes

Map and heights are read twice, in strips. Memory grows with the length of the shores, not with the number of cells.
"""

import json
import time
from dataclasses import fields
from pathlib import Path
from typing import Any

from floodseg.analysis.depth.depth_map import DepthMap
from floodseg.analysis.depth.documents import depth_item
from floodseg.analysis.depth.names import PRODUCTS
from floodseg.analysis.depth.products import DepthRun, write_depth
from floodseg.config.base import flatten
from floodseg.config.depth import DepthConfig, DepthOptions
from floodseg.config.flat import from_flat
from floodseg.config.predict import SceneConfig
from floodseg.errors import RunFolderError
from floodseg.messages import redacted
from floodseg.products.class_map import ClassMap, map_entry, open_class_map
from floodseg.products.folder import ITEM, SUMMARY, check_unfinished, product_folder
from floodseg.products.summary import versions
from floodseg.products.writer import disk_errors
from floodseg.raster.access import is_remote
from floodseg.scene.acquisition import acquisition_of
from floodseg.system.files import write_text

_BYTES_PER_CELL = 8
"""Two float32 rasters, which are the least disk space that a run needs."""


def flood_depth(
    flood: str | Path,
    dem: str | Path,
    *,
    out_dir: str | Path = DepthConfig.out_dir,
    overwrite: bool = False,
    show_progress: bool = False,
    **settings: Any,
) -> DepthMap:
    """Compute the water depth of a flood map, like ``floodseg depth``.

    Args:
        flood: map with the codes 0 land, 1 flood, 2 permanent water, 3 excluded and 255 nodata (``flood.tif``).
        dem: elevation raster in metres or feet, on any grid.
        out_dir: folder of the products.
        overwrite: replace finished products.
        show_progress: show a progress bar.
        **settings: settings of ``floodseg depth``: ``water_level``, ``dem_kind``, ``vertical_datum``, ...

    Returns:
        The depth in metres, its uncertainty and the volume, read from the products when they are first used.

    Raises:
        FloodsegError: invalid input or settings, or an output folder that cannot be used.

    Example:
        >>> depth = floodseg.flood_depth("flood.tif", "dem.tif", out_dir="depth", dem_kind="terrain")
        >>> depth.depth.shape  # metres, NaN where it is unknown
        (48, 40)
    """
    config = from_flat(DepthConfig, {**settings, "dem": str(dem), "out_dir": Path(out_dir)})
    return depth_config(str(flood), config, overwrite=overwrite, show_progress=show_progress)


def depth_config(flood: str, config: DepthConfig, *, overwrite: bool = False, show_progress: bool = False) -> DepthMap:
    """Compute the water depth of the map ``flood`` and write the products into ``config.out_dir``.

    Raises:
        FloodsegError: invalid input or settings, or an output folder that cannot be used.
    """
    started = time.monotonic()
    _check_folder(flood, config.out_dir)
    check_unfinished(config.out_dir, overwrite=overwrite)
    with open_class_map(flood) as class_map:
        size = _BYTES_PER_CELL * class_map.grid.height * class_map.grid.width
        with (
            product_folder(
                config.out_dir, overwrite=overwrite, min_bytes=size, inputs=[flood, config.dem], products=PRODUCTS
            ) as folder,
            disk_errors(config.out_dir),
        ):
            summary = _write(class_map, config, folder.staging, started, show_progress=show_progress)
            folder.publish()
    return DepthMap(config.out_dir, summary)


def _check_folder(flood: str, out_dir: Path) -> None:
    """Raise RunFolderError if the products would replace the summary of the map."""
    if not is_remote(flood) and Path(flood).parent.resolve() == out_dir.resolve():
        raise RunFolderError(
            f"{out_dir}: is the folder of the map, which has a summary.json of its own; set another `out_dir`"
        )


def _write(
    class_map: ClassMap, config: DepthConfig, folder: Path, started: float, *, show_progress: bool
) -> dict[str, Any]:
    """Write all products into a folder, and return the content of ``summary.json``."""
    source = map_entry(class_map.path)
    acquisition = acquisition_of(SceneConfig(sar=(class_map.path,), datetime=config.datetime))
    run = DepthRun(config.dem, config, config.thread_count, config.allow_remote, show_progress)
    result = write_depth(class_map, folder, run, acquisition)
    notes = list(result.notes)
    if acquisition is None:
        notes.append(
            f"{class_map.path}: no date in the tags or the file name, so item.json is not written; set `datetime`"
        )
    else:
        item = depth_item(class_map, acquisition, result.statistics, result.entries["elevation_model"])
        _write_json(folder / ITEM, item)
    grid, options = class_map.grid, {entry.name for entry in fields(DepthOptions)}
    summary = {
        **result.entries,
        "map": source,
        "datetime": acquisition.time.isoformat().replace("+00:00", "Z") if acquisition else None,
        "inputs": {"flood": [redacted(class_map.path)], "dem": [redacted(config.dem)]},
        "assumptions": [redacted(sentence) for sentence in notes],
        "settings": {name: value for name, value in flatten(config).items() if name in options},
        "grid": {"crs": grid.crs, "transform": list(grid.transform), "height": grid.height, "width": grid.width},
        "versions": versions(),
        "seconds": time.monotonic() - started,
    }
    _write_json(folder / SUMMARY, summary)
    return summary


def _write_json(path: Path, document: dict[str, Any]) -> None:
    write_text(path, json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n")
