# SPDX-License-Identifier: GPL-2.0-or-later
"""The algorithms: map a scene, map a place and a date, depth, exposure, series."""

from __future__ import annotations

from .algorithm import FloodsegAlgorithm
from .parameters import (
    LINES,
    Option,
    advanced,
    choice,
    day,
    extent,
    file,
    folder,
    layer,
    number,
    raster,
    rasters,
    string,
    switch,
    vector,
)
from .results import Figure, Product

MODELS = ["auto", "s1-efficient", "s1-lite", "s2", "s1s2", "otsu", "ndwi"]
"""Shipped models and classical baselines."""
SOURCES = ["planetary-computer", "earth-search", "earth-search-c1", "earth-search-v2"]
"""Catalogues."""

_MAP_PRODUCTS = (
    Product("WATER_DEPTH", "Water depth", "depth.tif"),
    Product("POLYGONS", "Flood polygons", "flood.gpkg", table="flood", hidden_by="depth.tif"),
    Product("FLOOD", "Flood map", "flood.tif", hidden_by="depth.tif"),
    Product("PROBABILITY", "Water probability", "water_probability.tif", is_shown=False),
    Product("QUICKLOOK", "Picture", "quicklook.png"),
    Product("SUMMARY", "Summary", "summary.json"),
)
_MAP_FIGURES = (
    Figure("FLOOD_KM2", "Flood area in square kilometres", ("area_km2", "flood")),
    Figure("VALID_SHARE", "Share of pixels that were mapped", ("valid_share",)),
)
_MODEL = (
    "--model", "Model",
    "auto takes s1-efficient for a radar image, s2 for an optical image, and s1s2 for both. otsu and ndwi are "
    "classical baselines.",
)  # fmt: skip
_MODEL_FILE = (
    "--model", "MODEL_FILE", "Checkpoint or exported file", "Instead of one of the models above, which stays auto.",
)  # fmt: skip
_PERMANENT = (
    "--permanent-water", "Permanent water (polygons or raster)",
    "Water elsewhere is mapped as flood. A raster is a mask of 0 and 1, or needs the smallest value below.",
)  # fmt: skip
_PERMANENT_FROM = (
    "--permanent-water-threshold", "Smallest raster value that counts as permanent water",
    "For example 50 (percent) for JRC water occurrence.",
)  # fmt: skip
_THRESHOLD = (
    "--threshold", "Smallest probability that counts as water",
    "By default the model's own thresholds, which were chosen on its validation split.",
)  # fmt: skip
_MIN_AREA = (
    "--min-area", "Smallest area of a patch of water in square metres",
    "Smaller connected patches become land. By default all are kept.",
)  # fmt: skip
_DATETIME = (
    "--datetime", "Acquisition time (ISO 8601)",
    "By default it is read from the tags or the name of the file.",
)  # fmt: skip


def _depth_options() -> list[Option]:
    return [
        advanced(choice("--dem-kind", "Kind of elevation model", "For the products: surface includes trees and "
                        "buildings, terrain does not.", ["unknown", "surface", "terrain"])),
        advanced(string("--vertical-datum", "Vertical datum", "For the products, such as EGM2008.")),
        advanced(number("--min-shore-samples", "Smallest number of shore samples", "A flood with fewer samples, which "
                        "are flooded cells beside dry land, gets no depth. By default 10.")),
        advanced(number("--min-island", "Smallest area of an island in square metres", "The shores of smaller islands "
                        "are not used. By default 100000.")),
    ]  # fmt: skip


class MapScene(FloodsegAlgorithm):
    """``floodseg predict``."""

    NAME, LABEL, COMMAND = "mapscene", "Map a scene", "predict"
    HELP = (
        "Maps the flood in a Sentinel-1 image, a Sentinel-2 image, or both.\n\n"
        "The radar image has VV and VH in dB, terrain corrected; other units are converted if you name them. The "
        "optical image has reflectance with named bands. Clouds are found and hidden.\n\n"
        "The output folder gets the flood map, water probability, polygons with areas, a picture and a summary."
    )
    PRODUCTS, FIGURES = _MAP_PRODUCTS, _MAP_FIGURES

    def options(self) -> list[Option]:
        """Return the parameters."""
        return [*self._images(), *self._layers(), *self._processing()]

    def _images(self) -> list[Option]:
        return [
            raster("--sar", "Radar image (VV and VH)", "Sentinel-1 backscatter."),
            raster("--optical", "Optical image", "Reflectance of Sentinel-2, HLS or Landsat, with named bands."),
            choice("--sar-units", "Unit of the radar image", "Linear power and amplitude are converted to dB.",
                   ["db", "linear", "amplitude"]),
            advanced(rasters("--sar", "SAR_FILES", "Radar image as one file per polarisation",
                             "Instead of the radar image.")),
            advanced(rasters("--optical", "OPTICAL_FILES", "Optical image as one file per band",
                             "Instead of the optical image.")),
            advanced(folder("--optical", "OPTICAL_PRODUCT", "Sentinel-2 product (folder .SAFE)",
                            "Instead of the optical image.")),
            advanced(raster("--sar-before", "Radar image from before the flood",
                            "Its water counts as permanent water. Models of two dates use it as input.")),
            advanced(raster("--optical-before", "Optical image from before the flood", "For models of two dates.")),
            advanced(choice("--grid", "Pixel grid of the products", "The other sensor is warped to it.",
                            ["sar", "optical"])),
        ]  # fmt: skip

    def _layers(self) -> list[Option]:
        return [
            layer(*_PERMANENT),
            number(*_PERMANENT_FROM),
            vector("--aoi", "Area of interest", "Nothing outside is mapped or counted."),
            raster("--dem", "Elevation model", "In metres. Steep ground is marked as excluded."),
            switch("--depth", "Compute the water depth", "Needs the elevation model."),
            advanced(number("--max-slope", "Steepest slope in degrees that is mapped", "Needs the elevation model. By "
                            "default 15.")),
            advanced(layer("--exclude", "Excluded areas (polygons or raster)", "Marked as excluded in the map, such as "
                           "radar shadow. A raster is not 0 there.")),
            advanced(choice("--cloud-mask", "Clouds", "auto: the scene classification of an L2A product, the network "
                            "csmask if it is installed, or pixels as bright as cloud. none: clouds are not hidden.",
                            ["auto", "none", "csmask"])),
            advanced(raster("--cloud-mask", "Cloud mask", "A raster that is not 0 in clouds, or a scene "
                            "classification. Clouds, above, stays auto.", name="CLOUD_RASTER")),
        ]  # fmt: skip

    def _processing(self) -> list[Option]:
        return [
            choice(*_MODEL, MODELS),
            advanced(file(*_MODEL_FILE)),
            advanced(number(*_THRESHOLD)),
            advanced(number(*_MIN_AREA)),
            advanced(string(*_DATETIME)),
            advanced(switch("--tta", "Average eight flips and rotations", "Takes eight times as long.")),
            *_depth_options(),
        ]


class MapPlace(FloodsegAlgorithm):
    """``floodseg map``."""

    NAME, LABEL, COMMAND = "mapplace", "Map a place and a date", "map"
    HELP = (
        "Searches a public catalogue for Sentinel-1 and Sentinel-2 passes over a place, reads the parts of the images "
        "that touch the area, maps them, and compares them with the time before.\n\n"
        "Name a place, or draw an extent, or choose a layer with the area. Requests to the hosts of the catalogue are "
        "made only if you permit them; without the permission, the algorithm names the hosts and stops.\n\n"
        "Images are kept in the subfolder passes: after an interruption, the same run continues."
    )
    PRODUCTS, FIGURES = _MAP_PRODUCTS, _MAP_FIGURES

    def options(self) -> list[Option]:
        """Return the parameters."""
        return [
            string("--place", "Place", "Name and country of a place with more than 5,000 inhabitants, such as "
                   "Valencia, ES."),
            number("--radius", "Half the side length of the area around the place in kilometres", "By default 10.",
                   unit="km"),
            extent("--bbox", "Extent, instead of a place", ""),
            vector("--aoi", "Polygons of the area, instead of a place", ""),
            day("--date", "Day of the flood", "Passes of this day and of the days after it are found."),
            number("--window", "Number of days after it", "By default 6.", unit="d"),
            choice("--sensors", "Sensors", "Sensors to search for.", ["both", "sar", "optical"]),
            switch("--allow-remote", "Permit requests to the hosts of the catalogue", "Without it, nothing is read."),
            choice("--source", "Catalogue", "planetary-computer has both sensors, the others have optical images.",
                   SOURCES),
            advanced(file("--source", "SOURCE_FILE", "Description of another STAC catalogue (TOML)",
                          "Instead of one of the catalogues above, which stays planetary-computer.")),
            advanced(number("--max-cloud", "Largest cloud cover in percent", "Of optical passes. By default 60.")),
            advanced(choice("--before", "Radar image from before the flood", "auto: the median of at least three "
                            "passes of the same orbit, 12 to 60 days earlier. none: without one.", ["auto", "none"])),
            advanced(number("--days-apart", "Largest number of days between both sensors", "By default 1.")),
            advanced(number("--resolution", "Pixel size in metres", "By default that of the files.")),
            advanced(layer(*_PERMANENT)),
            advanced(number(*_PERMANENT_FROM)),
            choice(*_MODEL, MODELS),
            advanced(file(*_MODEL_FILE)),
            advanced(number(*_THRESHOLD)),
            advanced(number(*_MIN_AREA)),
        ]  # fmt: skip


class Depth(FloodsegAlgorithm):
    """``floodseg depth``."""

    NAME, LABEL, COMMAND = "depth", "Water depth", "depth"
    HELP = (
        "Computes the water depth of a flood map from an elevation model, with its uncertainty.\n\n"
        "The water level is that of the ground along the shore of each connected flood. A flood with too few shore "
        "samples, or with more than half of its border at the edge of the map, of nodata or of excluded areas, gets no "
        "depth."
    )
    PRODUCTS = (
        Product("WATER_DEPTH", "Water depth", "depth.tif"),
        Product("UNCERTAINTY", "Uncertainty of the depth", "depth_uncertainty.tif", is_shown=False),
        Product("LEVEL", "Water level", "water_level.tif", is_shown=False),
        Product("PICTURE", "Picture", "depth.png"),
        Product("SUMMARY", "Summary", "summary.json"),
    )
    FIGURES = (
        Figure("MEAN_DEPTH_M", "Mean depth in metres", ("depth_m", "mean")),
        Figure("VOLUME_M3", "Volume in cubic metres", ("volume_m3",)),
    )

    def options(self) -> list[Option]:
        """Return the parameters."""
        return [
            raster("--flood", "Flood map", "flood.tif, or another raster of 0 land, 1 flood, 2 permanent water, 3 "
                   "excluded and 255 nodata.", optional=False),
            raster("--dem", "Elevation model", "In metres, on any grid.", optional=False),
            switch("--water-level", "Write the water level, too", "In metres above the zero of the elevation model."),
            *_depth_options(),
        ]  # fmt: skip


class CountExposure(FloodsegAlgorithm):
    """``floodseg exposure``."""

    NAME, LABEL, COMMAND = "exposure", "Exposure", "exposure"
    HELP = (
        "Counts people, buildings, roads and land in the flood of a finished map. Choose at least one of these "
        "layers.\n\n"
        "Every figure has its total in the area, and two bounds: in the mapped flood, and in the flood or where the "
        "map could not see. The source of a layer is its name, date and licence, separated by commas, for the products."
    )
    PRODUCTS = (
        Product("ZONES", "Exposure", "exposure.gpkg", table="exposure_zones"),
        Product("TABLE", "Table", "exposure.csv"),
        Product("CHART", "Chart", "exposure.png"),
        Product("FIGURES", "Figures", "exposure.json"),
    )

    def options(self) -> list[Option]:
        """Return the parameters."""
        sources = [
            advanced(string(f"--{name}-source", f"Source of the {text}", "Name, date, licence, separated by commas."))
            for name, text in (("population", "population"), ("buildings", "buildings"), ("roads", "roads"),
                               ("landcover", "land cover"), ("regions", "regions"), ("depth", "depth"))
        ]  # fmt: skip
        return [
            raster("--flood", "Flood map", "flood.tif, or another raster with its codes.", optional=False),
            raster("--population", "Population", "Persons per cell, such as GHS-POP or WorldPop, on any grid."),
            vector("--buildings", "Buildings", "Polygons of footprints."),
            vector("--roads", "Roads", "Lines.", kind=LINES),
            raster("--landcover", "Land cover", "Codes of land cover, such as ESA WorldCover, on any grid."),
            vector("--regions", "Regions", "Figures are given for each. By default for the extent of the map."),
            raster("--depth", "Water depth", "On the grid of the map. People and buildings are then given by class of "
                   "depth, too."),
            *sources,
            advanced(string("--datetime", "Acquisition time of the map (ISO 8601)", _DATETIME[2])),
        ]  # fmt: skip


class Series(FloodsegAlgorithm):
    """``floodseg series``."""

    NAME, LABEL, COMMAND = "series", "Series of maps", "series"
    HELP = (
        "Computes water frequency, dates and duration of flooding, and reference water by month, from many dated maps "
        "of one orbit.\n\n"
        "After an interruption, the same run continues."
    )
    PRODUCTS = (
        Product("FREQUENCY", "Water frequency", "frequency.tif"),
        Product("BRACKET", "Bracket of the duration", "duration_bracket.tif", is_shown=False),
        Product("DURATION_MIN", "Shortest duration in days", "duration_min.tif", is_shown=False),
        Product("DURATION_MAX", "Longest duration in days", "duration_max.tif", is_shown=False),
        Product("SUMMARY", "Summary", "summary.json"),
    )

    def options(self) -> list[Option]:
        """Return the parameters."""
        return [
            folder("--maps", "MAPS", "Folder of maps", "That of floodseg predict-many, or another one with flood.tif "
                   "in its subfolders or with GeoTIFFs of the same codes.", optional=False),
            string("--orbit", "Orbit", "Such as descending-95; all joins all orbits and sensors. By default the maps "
                   "must be of one orbit."),
            string("--dates", "First and last day", "Such as 2023-01-01/2023-12-31. By default all maps are used."),
        ]  # fmt: skip


ALGORITHMS = (MapScene, MapPlace, Depth, CountExposure, Series)
