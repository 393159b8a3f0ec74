"""``floodseg.exposure``: what lies in the flood of a finished map.

::

    population  --> shares of the map in its cells ------+
    land cover  --> shares of its codes in the pixels ---+--> figures by zone --> table, JSON, GeoPackage, chart, item
    buildings, roads --> pixels that they cover ---------+
"""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from floodseg.analysis.exposure.buildings import count_buildings
from floodseg.analysis.exposure.figures import Item, LayerResult
from floodseg.analysis.exposure.landcover import land
from floodseg.analysis.exposure.observed import ObservedMap, open_observed
from floodseg.analysis.exposure.outputs import PRODUCTS, write_products
from floodseg.analysis.exposure.population import people
from floodseg.analysis.exposure.roads import CLASS_COLUMNS, measure_roads
from floodseg.analysis.exposure.run import Run
from floodseg.analysis.exposure.sources import layer_sources
from floodseg.analysis.exposure.vectors import Features, open_features
from floodseg.analysis.exposure.zones import Zones, map_zone, no_overlap, read_zones
from floodseg.config.exposure import SOURCES, ExposureConfig
from floodseg.config.flat import from_flat
from floodseg.config.predict import SceneConfig
from floodseg.errors import ConfigError, DataError
from floodseg.geo.footprints import PixelAreas, measure_pixel_areas
from floodseg.products.class_map import map_entry
from floodseg.products.folder import product_folder
from floodseg.raster.access import is_remote
from floodseg.scene.acquisition import acquisition_of
from floodseg.system.progress import ProgressBar

_MIN_BYTES = 2**20
_Measure = Callable[[Callable[[float], None]], LayerResult]


@dataclass(frozen=True, slots=True)
class Exposure:
    """Figures of all layers, and the folder of the products."""

    out_dir: Path
    zones: tuple[str, ...]
    """``total``, then the names of the regions."""
    items: tuple[Item, ...]
    """Each has one figure for each zone."""
    document: Mapping[str, Any]
    """The content of exposure.json."""


def exposure(flood: str | Path, *, overwrite: bool = False, show_progress: bool = False, **settings: Any) -> Exposure:
    """Count people, buildings, roads and land in the flood of a finished map, like ``floodseg exposure``.

    Args:
        flood: map of classes: 0 land, 1 flood, 2 permanent water, 3 excluded, 255 nodata.
        overwrite: replace finished products.
        show_progress: show a progress bar.
        **settings: settings of ``floodseg exposure``: ``population``, ``buildings``, ``out_dir``, ...

    Returns:
        The figures of all layers in persons, numbers, km and ha. ``document`` has them as JSON values.

    Raises:
        FloodsegError: invalid settings or files, or an output folder that cannot be used.

    Example:
        >>> found = floodseg.exposure("flood.tif", population="people.tif", out_dir="exposure")
        >>> [item.name for item in found.items]
        ['population']
    """
    config = from_flat(ExposureConfig, settings)
    return exposure_config(str(flood), config, overwrite=overwrite, show_progress=show_progress)


def exposure_config(
    flood: str, config: ExposureConfig, *, overwrite: bool = False, show_progress: bool = False
) -> Exposure:
    """Count what lies in the flood, and write the products into ``config.out_dir``.

    Raises:
        FloodsegError: invalid settings or files, or an output folder that cannot be used.
    """
    started = time.monotonic()
    config.require_layer()
    _refuse_remote(flood, config)
    acquisition = acquisition_of(SceneConfig(sar=(flood,), datetime=config.datetime))
    inputs = [flood, *(value for name in SOURCES if (value := getattr(config, name)))]
    _refuse_folder_of_map(config.out_dir)
    with (
        product_folder(
            config.out_dir, overwrite=overwrite, min_bytes=_MIN_BYTES, inputs=inputs, products=PRODUCTS
        ) as folder,
        open_observed(flood, config.depth) as observed,
    ):
        areas = measure_pixel_areas(observed.grid)
        if areas is None:
            raise DataError(
                f"{flood}: its pixels have no place on the Earth; assign its coordinate system (rio edit-info --crs "
                "EPSG:CODE FILE)"
            )
        source, zones = map_entry(flood), _zones(config, observed)
        results = _measured(config, observed, zones, areas, show_progress)
        run = Run(source, config, observed, zones, results, layer_sources(config), acquisition)
        document = write_products(folder.staging, run, started)
        folder.publish()
    return Exposure(config.out_dir, zones.names, run.items, document)


def _refuse_remote(flood: str, config: ExposureConfig) -> None:
    for name in ("flood", *SOURCES):
        path = flood if name == "flood" else getattr(config, name)
        if path is not None and is_remote(path):
            raise ConfigError(
                f"`{name}={path}`: is an address on a network, but only local files are read; download it"
            )


def _refuse_folder_of_map(out_dir: Path) -> None:
    """Raise ConfigError if the folder holds the products of a map, whose item.json would be replaced."""
    if (out_dir / "flood.tif").exists():
        raise ConfigError(f"`out_dir={out_dir}`: holds the products of a map; set another folder")


def _zones(config: ExposureConfig, observed: ObservedMap) -> Zones:
    if config.regions is None:
        return map_zone(observed.grid)
    return read_zones(_features(config, "regions", "Polygon", observed), config.region_name, observed.grid)


def _features(config: ExposureConfig, setting: str, kind: str, observed: ObservedMap) -> Features:
    features = open_features(getattr(config, setting), setting, kind)
    if not features.overlaps(observed.grid):
        raise no_overlap(features.layer.label)
    return features


def _measured(
    config: ExposureConfig, observed: ObservedMap, zones: Zones, areas: PixelAreas, show_progress: bool
) -> dict[str, LayerResult]:
    """Return the figures of each layer that is set, by its setting."""
    measures = dict(_measures(config, observed, zones, areas))
    results = {}
    with ProgressBar(len(measures), stderr=True, enabled=show_progress) as progress:
        for number, (layer, measure) in enumerate(measures.items()):

            def advance(share: float, number: int = number, layer: str = layer) -> None:
                progress.update(number + share, f"{layer} ({number + 1} of {len(measures)} layers)")

            advance(0.0)
            results[layer] = measure(advance)
    return results


def _measures(
    config: ExposureConfig, observed: ObservedMap, zones: Zones, areas: PixelAreas
) -> Iterator[tuple[str, _Measure]]:
    """Yield each layer with the function that measures it. All files are opened before the first is measured."""
    if config.population is not None:
        yield "population", partial(people, config.population, observed, zones)
    if config.buildings is not None:
        buildings = _features(config, "buildings", "Polygon", observed)
        yield "buildings", partial(count_buildings, buildings, observed, zones, areas)
    if config.roads is not None:
        roads = _features(config, "roads", "LineString", observed)
        column = roads.column("road_class", config.road_class, CLASS_COLUMNS)
        yield "roads", partial(measure_roads, roads, column, observed, zones)
    if config.landcover is not None:
        yield "landcover", partial(land, config.landcover, config.classes(), observed, zones, areas)
