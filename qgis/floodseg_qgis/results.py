# SPDX-License-Identifier: GPL-2.0-or-later
"""Products of a run, as outputs of the algorithm and as layers of the project."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qgis.core import (
    QgsLayerTreeGroup,
    QgsMapLayer,
    QgsProcessingContext,
    QgsProcessingLayerPostProcessorInterface,
    QgsProcessingOutputDefinition,
    QgsProcessingOutputFile,
    QgsProcessingOutputNumber,
    QgsProcessingOutputRasterLayer,
    QgsProcessingOutputVectorLayer,
    QgsProcessingUtils,
    QgsProject,
    QgsProviderRegistry,
)
from qgis.PyQt import sip

_PLACERS: list[Any] = []
"""Keeps the Python part of the placers until QGIS, which owns them, deletes them with the context of a run."""


@dataclass(frozen=True)
class Product:
    """A product: the name of its output, its label, and its file, which some runs lack.

    ``table`` is the layer of a GeoPackage. A layer is visible when it is added if ``is_shown``, and if the run has no
    file ``hidden_by``, over whose transparent pixels it would be taken for a part of that layer.
    """

    output: str
    label: str
    file: str
    table: str = ""
    is_shown: bool = True
    hidden_by: str = ""

    @property
    def is_layer(self) -> bool:
        """True for rasters and polygons, which are added to the project."""
        return self.file.endswith((".tif", ".gpkg"))

    def definition(self) -> QgsProcessingOutputDefinition:
        """Return the output of the algorithm."""
        if self.file.endswith(".tif"):
            return QgsProcessingOutputRasterLayer(self.output, self.label)
        if self.table:
            return QgsProcessingOutputVectorLayer(self.output, self.label)
        return QgsProcessingOutputFile(self.output, self.label)

    def source(self, folder: Path) -> str:
        """Return the source of the layer, or the file; empty if the run has no such product."""
        path = folder / self.file
        if not path.is_file():
            return ""
        if not self.table:
            return str(path)
        layers = QgsProviderRegistry.instance().querySublayers(str(path))
        return f"{path}|layername={self.table}" if self.table in [layer.name() for layer in layers] else ""

    def details(self, project: QgsProject, folder: Path) -> QgsProcessingContext.LayerDetails:
        """Return how the layer is added to the project."""
        kind = QgsProcessingUtils.LayerHint.Vector if self.table else QgsProcessingUtils.LayerHint.Raster
        details = QgsProcessingContext.LayerDetails(self.label, project, self.output, kind)
        details.forceName = True
        is_hidden = bool(self.hidden_by) and (folder / self.hidden_by).is_file()
        placer = LayerPlacer(is_shown=self.is_shown and not is_hidden)
        details.setPostProcessor(placer)
        _PLACERS[:] = [*(each for each in _PLACERS if not sip.isdeleted(each)), placer]
        return details


@dataclass(frozen=True)
class Figure:
    """A number of ``summary.json``: the name of its output, its label, and its keys."""

    output: str
    label: str
    keys: tuple[str, ...]

    def definition(self) -> QgsProcessingOutputDefinition:
        """Return the output of the algorithm."""
        return QgsProcessingOutputNumber(self.output, self.label)

    def value(self, folder: Path) -> float | None:
        """Return the number, None if it is not known."""
        file = folder / "summary.json"
        found: Any = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else None
        for key in self.keys:
            found = found.get(key) if isinstance(found, dict) else None
        return found


class LayerPlacer(QgsProcessingLayerPostProcessorInterface):
    """Orders the layers of one folder of products, and hides secondary ones.

    QGIS adds layers one by one, each on top of the others.
    """

    def __init__(self, *, is_shown: bool) -> None:
        super().__init__()
        self._is_shown = is_shown

    def postProcessLayer(self, layer: QgsMapLayer, context: QgsProcessingContext, feedback: Any) -> None:
        """Place a layer after it was added. QGIS calls this method in the main thread."""
        node = context.project().layerTreeRoot().findLayer(layer.id())
        if node is None:
            return
        layer.loadDefaultStyle()  # Processing of QGIS 3.22 adds layers without their styles
        node.setItemVisibilityChecked(self._is_shown)
        node.setExpanded(self._is_shown)
        _sort(node.parent(), Path(_file(layer)).parent)


def _sort(group: QgsLayerTreeGroup, folder: Path) -> None:
    """Order the layers of a folder within their group as in ``_ORDER``; other layers keep their places."""
    nodes = group.children()
    places = [
        index for index, node in enumerate(nodes)
        if hasattr(node, "layer") and node.layer() is not None and Path(_file(node.layer())).parent == folder
    ]  # fmt: skip
    wanted = sorted((nodes[index] for index in places), key=lambda node: _rank(node.layer()))
    if wanted == [nodes[index] for index in places]:
        return
    for index, node in zip(places, [node.clone() for node in wanted]):
        group.insertChildNode(index, node)
        group.removeChildNode(nodes[index])


_ORDER = ("exposure", "depth", "flood.gpkg", "flood", "water_probability")


def _rank(layer: QgsMapLayer) -> int:
    file = Path(_file(layer))
    return next((rank for rank, name in enumerate(_ORDER) if name in (file.name, file.stem)), len(_ORDER))


def _file(layer: QgsMapLayer) -> str:
    return layer.source().split("|")[0]
