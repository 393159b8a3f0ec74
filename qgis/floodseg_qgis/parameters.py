# SPDX-License-Identifier: GPL-2.0-or-later
"""Parameters of the algorithms, each with its flag of the command line."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from qgis.core import (
    QgsCoordinateReferenceSystem,
    QgsMapLayer,
    QgsProcessing,
    QgsProcessingAlgorithm,
    QgsProcessingException,
    QgsProcessingParameterBoolean,
    QgsProcessingParameterDateTime,
    QgsProcessingParameterDefinition,
    QgsProcessingParameterEnum,
    QgsProcessingParameterExtent,
    QgsProcessingParameterFile,
    QgsProcessingParameterMapLayer,
    QgsProcessingParameterMultipleLayers,
    QgsProcessingParameterNumber,
    QgsProcessingParameterRasterLayer,
    QgsProcessingParameterString,
    QgsProcessingParameterVectorLayer,
    QgsRasterLayer,
)

VECTOR_FORMATS = ["gpkg", "geojson", "shp", "fgb", "kml"]
"""Formats that floodseg reads; layers of other formats, with a filter or in memory are written to a temporary file."""
POLYGONS = QgsProcessing.SourceType.TypeVectorPolygon
LINES = QgsProcessing.SourceType.TypeVectorLine
RASTERS = QgsProcessing.SourceType.TypeRaster


@dataclass(frozen=True)
class Call:
    """One run of an algorithm."""

    algorithm: QgsProcessingAlgorithm
    parameters: dict[str, Any]
    context: Any
    feedback: Any

    def is_set(self, name: str) -> bool:
        """Return True if a parameter has a value."""
        return self.parameters.get(name) not in (None, "", [])


Values = Callable[[Call, str], list[str]]
"""Values that follow the flag in a run, by the name of the parameter; none leaves the flag out."""


@dataclass(frozen=True)
class Option:
    """A parameter, its flag, and its values. ``flag`` is empty if the values have their own flags."""

    definition: QgsProcessingParameterDefinition
    flag: str
    values: Values
    is_switch: bool = False

    def words(self, call: Call) -> list[str]:
        """Return the words of the command."""
        values = self.values(call, self.definition.name())
        if not values:
            return []
        return [self.flag] if self.is_switch else [*([self.flag] if self.flag else []), *values]


def advanced(option: Option) -> Option:
    """Move a parameter to the advanced ones."""
    option.definition.setFlags(option.definition.flags() | QgsProcessingParameterDefinition.Flag.FlagAdvanced)
    return option


def raster(flag: str, label: str, text: str, *, name: str = "", optional: bool = True) -> Option:
    """Return a parameter for a raster. Its name is that of the flag if it has no other one."""
    definition = QgsProcessingParameterRasterLayer(name or _name(flag), label, optional=optional)
    return _option(definition, flag, text, lambda call, name: [_file(_layer(call, name, "parameterAsRasterLayer"))])


def rasters(flag: str, name: str, label: str, text: str) -> Option:
    """Return a parameter for several rasters, all of one image."""
    definition = QgsProcessingParameterMultipleLayers(name, label, RASTERS, optional=True)

    def values(call: Call, name: str) -> list[str]:
        return [_file(layer) for layer in call.algorithm.parameterAsLayerList(call.parameters, name, call.context)]

    return _option(definition, flag, text, values)


def vector(flag: str, label: str, text: str, kind: Any = POLYGONS) -> Option:
    """Return a parameter for a vector layer."""
    definition = QgsProcessingParameterVectorLayer(_name(flag), label, [kind], optional=True)
    return _option(definition, flag, text, _vector_file)


def layer(flag: str, label: str, text: str) -> Option:
    """Return a parameter for polygons or a raster."""
    definition = QgsProcessingParameterMapLayer(_name(flag), label, optional=True, types=[POLYGONS, RASTERS])

    def values(call: Call, name: str) -> list[str]:
        found = _layer(call, name, "parameterAsLayer")
        return [_file(found)] if isinstance(found, QgsRasterLayer) else _vector_file(call, name)

    return _option(definition, flag, text, values)


def folder(flag: str, name: str, label: str, text: str, *, optional: bool = True) -> Option:
    """Return a parameter for a folder."""
    behaviour = QgsProcessingParameterFile.Behavior.Folder
    definition = QgsProcessingParameterFile(name, label, behavior=behaviour, optional=optional)
    return _option(definition, flag, text, _text)


def file(flag: str, name: str, label: str, text: str) -> Option:
    """Return a parameter for a file that QGIS does not open."""
    return _option(QgsProcessingParameterFile(name, label, optional=True), flag, text, _text)


def number(flag: str, label: str, text: str, *, unit: str = "") -> Option:
    """Return a parameter for a number, followed by its unit. Without a value, the default of floodseg applies."""
    kind = QgsProcessingParameterNumber.Type.Double
    definition = QgsProcessingParameterNumber(_name(flag), label, kind, optional=True)

    def values(call: Call, name: str) -> list[str]:
        value = call.algorithm.parameterAsDouble(call.parameters, name, call.context)
        return [f"{value:.12g}{unit}"]

    return _option(definition, flag, text, values)


def string(flag: str, label: str, text: str) -> Option:
    """Return a parameter for a text."""
    return _option(QgsProcessingParameterString(_name(flag), label, optional=True), flag, text, _text)


def choice(flag: str, label: str, text: str, values: list[str]) -> Option:
    """Return a parameter for one of several values. The first one is the default of floodseg, and is not passed on."""
    definition = QgsProcessingParameterEnum(
        _name(flag), label, options=values, defaultValue=values[0], usesStaticStrings=True
    )

    def chosen(call: Call, name: str) -> list[str]:
        value = call.algorithm.parameterAsEnumString(call.parameters, name, call.context)
        return [] if value == values[0] else [value]

    return _option(definition, flag, text, chosen)


def switch(flag: str, label: str, text: str) -> Option:
    """Return a parameter that is on or off."""
    definition = QgsProcessingParameterBoolean(_name(flag), label, defaultValue=False)
    definition.setHelp(text)

    def values(call: Call, name: str) -> list[str]:
        return ["on"] if call.algorithm.parameterAsBool(call.parameters, name, call.context) else []

    return Option(definition, flag, values, is_switch=True)


def further_flags(command: str) -> Option:
    """Return a parameter for any other flags of a command."""
    label = f"Further flags of floodseg {command}"
    definition = QgsProcessingParameterString("EXTRA", label, optional=True)

    def values(call: Call, name: str) -> list[str]:
        words = shlex.shlex(call.algorithm.parameterAsString(call.parameters, name, call.context), posix=True)
        words.whitespace_split, words.commenters, words.escape = True, "", ""  # a backslash is part of a path
        return list(words)

    return advanced(_option(definition, "", f"Separated by spaces. floodseg {command} --help lists them.", values))


def day(flag: str, label: str, text: str) -> Option:
    """Return a parameter for a date."""
    definition = QgsProcessingParameterDateTime(
        _name(flag), label, type=QgsProcessingParameterDateTime.Type.Date, optional=True
    )

    def values(call: Call, name: str) -> list[str]:
        found = call.algorithm.parameterAsDateTime(call.parameters, name, call.context)
        return [found.toString("yyyy-MM-dd")]

    return _option(definition, flag, text, values)


def extent(flag: str, label: str, text: str) -> Option:
    """Return a parameter for an extent, which is passed on in degrees."""
    definition = QgsProcessingParameterExtent(_name(flag), label, optional=True)

    def values(call: Call, name: str) -> list[str]:
        degrees = QgsCoordinateReferenceSystem("EPSG:4326")
        box = call.algorithm.parameterAsExtent(call.parameters, name, call.context, degrees)
        return [f"{edge:.7f}" for edge in (box.xMinimum(), box.yMinimum(), box.xMaximum(), box.yMaximum())]

    return _option(definition, flag, text, values)


def _name(flag: str) -> str:
    return flag.lstrip("-").replace("-", "_").upper()


def _option(definition: QgsProcessingParameterDefinition, flag: str, text: str, values: Values) -> Option:
    definition.setHelp(text)
    return Option(definition, flag, lambda call, name: values(call, name) if call.is_set(name) else [])


def _text(call: Call, name: str) -> list[str]:
    text = call.algorithm.parameterAsString(call.parameters, name, call.context).strip()
    return [text] if text else []


def _layer(call: Call, name: str, method: str) -> QgsMapLayer:
    found = getattr(call.algorithm, method)(call.parameters, name, call.context)
    if found is None:
        raise QgsProcessingException(f"{name}={call.parameters[name]}: cannot be opened; choose another layer")
    return found


def _file(found: QgsMapLayer) -> str:
    """Return the file of a raster layer, or its name for GDAL."""
    if found.dataProvider().name() != "gdal":
        raise QgsProcessingException(
            f"{found.name()}: this layer is no raster file; save it as GeoTIFF, and choose that file"
        )
    return found.source()


def _vector_file(call: Call, name: str) -> list[str]:
    file = call.algorithm.parameterAsCompatibleSourceLayerPath(
        call.parameters, name, call.context, VECTOR_FORMATS, "gpkg", call.feedback
    )
    if not file:
        raise QgsProcessingException(f"{name}={call.parameters[name]}: cannot be opened; choose another layer")
    return [file]
