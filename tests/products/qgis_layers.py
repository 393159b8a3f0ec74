"""Open products in QGIS and print what it shows, as JSON; run by the Python of the distribution, which has PyQGIS.

usage: qgis_layers.py FOLDER
"""

import json
import sys
from pathlib import Path

from qgis.core import (
    QgsApplication,
    QgsMapRendererSequentialJob,
    QgsMapSettings,
    QgsProviderRegistry,
    QgsRasterLayer,
    QgsVectorLayer,
)
from qgis.PyQt.QtCore import QSize


def raster(path):
    layer = QgsRasterLayer(str(path), path.stem)
    renderer = layer.renderer()
    found = {"valid": layer.isValid(), "crs": layer.crs().authid(), "renderer": renderer.type()}
    if renderer.type() == "paletted":
        classes = [(entry.value, entry.label, entry.color.name(), entry.color.alpha()) for entry in renderer.classes()]
        found["classes"] = classes
    elif renderer.type() == "singlebandpseudocolor":
        shader = renderer.shader().rasterShaderFunction()
        found["ramp"] = [(item.value, item.label, item.color.name()) for item in shader.colorRampItemList()]
        found["limits"] = [renderer.classificationMin(), renderer.classificationMax()]
        found["shades"] = [shader.shade(percent)[1:4] for percent in (0, 50, 100)]
    return found


def labels(layer):
    settings = QgsMapSettings()
    settings.setLayers([layer])
    settings.setDestinationCrs(layer.crs())
    settings.setExtent(layer.extent())
    settings.setOutputSize(QSize(900, 700))
    job = QgsMapRendererSequentialJob(settings)
    job.start()
    job.waitForFinished()
    return sorted(label.labelText for label in job.takeLabelingResults().allLabels())


def polygons(path):
    # what QGIS offers to add when the file is opened, in its order
    offered = QgsProviderRegistry.instance().querySublayers(str(path))
    found = {"offered": [sublayer.name() for sublayer in offered]}
    for sublayer in offered:
        layer = QgsVectorLayer(sublayer.uri(), sublayer.name(), "ogr")
        if layer.isSpatial():
            symbol = layer.renderer().symbol()
            found[sublayer.name()] = {
                "crs": layer.crs().authid(),
                "renderer": layer.renderer().type(),
                "features": layer.featureCount(),
                "colour": symbol.color().name(),
                "alpha": symbol.color().alpha() * symbol.opacity(),
                "outline": symbol.symbolLayer(0).strokeColor().name(),
            }
            if layer.labelsEnabled():
                found[sublayer.name()] |= {
                    "brush": symbol.symbolLayer(0).properties()["style"],
                    "labels": labels(layer),
                }
    first = QgsVectorLayer(str(path), "default", "ogr")
    return found | {"default": [first.featureCount(), first.renderer().symbol().color().name()]}


QgsApplication.setPrefixPath("/usr", True)
application = QgsApplication([], False)
application.initQgis()
folder = Path(sys.argv[1])
shown = {path.name: raster(path) for path in sorted(folder.glob("*.tif"))}
shown |= {path.name: polygons(path) for path in sorted(folder.glob("*.gpkg"))}
print(json.dumps(shown))
application.exitQgis()
