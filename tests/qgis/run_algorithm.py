"""Run an algorithm of the plugin in QGIS and print what it did, as JSON; run by the Python of the distribution.

usage: run_algorithm.py PLUGINS REQUEST.json

PLUGINS is a folder of plugins. The request has the keys ``algorithm``, ``parameters``, ``cancel_after_s`` (seconds
after the first line of progress; null runs to the end) and ``picture`` (file of the map of the project; null: none).
"""

import json
import sys
import threading
import time
from pathlib import Path

from qgis_session import close  # isort: skip
from processing.gui.Postprocessing import handleAlgorithmResults
from qgis.core import (
    QgsApplication,
    QgsMapRendererParallelJob,
    QgsMapSettings,
    QgsProcessingContext,
    QgsProcessingFeedback,
    QgsProject,
)
from qgis.PyQt.QtCore import QSize
from qgis.PyQt.QtGui import QColor


class Feedback(QgsProcessingFeedback):
    def __init__(self, cancel_after_s):
        super().__init__(False)
        self.messages, self.errors, self.steps = [], [], []
        self.cancel_after_s, self.cancelled_at = cancel_after_s, None
        self.progressChanged.connect(self.steps.append)

    def pushInfo(self, info):
        self.messages.append(info)

    def pushCommandInfo(self, info):
        self.messages.append(info)

    def pushWarning(self, warning):
        self.messages.append(f"warning: {warning}")

    def reportError(self, error, fatalError=False):
        self.errors.append(error)

    def setProgressText(self, text):
        self.messages.append(f"progress: {text}")
        if self.cancel_after_s is not None and self.cancelled_at is None:
            self.cancelled_at = time.monotonic() + self.cancel_after_s
            threading.Timer(self.cancel_after_s, self.cancel).start()


def shown(node):
    layer = node.layer()
    found = {
        "name": layer.name(), "visible": node.isVisible(), "valid": layer.isValid(),
        "renderer": layer.renderer().type(), "file": Path(layer.source().split("|")[0]).name,
    }  # fmt: skip
    if found["renderer"] == "paletted":
        found["classes"] = [(entry.value, entry.label, entry.color.name()) for entry in layer.renderer().classes()]
    elif found["renderer"] == "singlebandpseudocolor":
        function = layer.renderer().shader().rasterShaderFunction()
        items = function.colorRampItemList()
        found["ramp"] = [(str(item.value), item.label, item.color.name()) for item in items]
        transparency = layer.renderer().rasterTransparency()
        found["shades"] = [
            function.shade(value)[1:4] if transparency is None or transparency.alphaValue(value) else None
            for value in (0, 0.25, 0.75, 1.5, 3, 5)
        ]
    elif found["renderer"] == "singleSymbol":
        found["colour"] = layer.renderer().symbol().color().name()
    return found


def draw(project, file):
    layers = [node.layer() for node in project.layerTreeRoot().findLayers() if node.isVisible()]
    settings = QgsMapSettings()
    settings.setLayers(layers)
    settings.setDestinationCrs(layers[0].crs())
    settings.setExtent(layers[-1].extent())
    settings.setOutputSize(QSize(900, 720))
    settings.setBackgroundColor(QColor("white"))
    job = QgsMapRendererParallelJob(settings)
    job.start()
    job.waitForFinished()
    job.renderedImage().save(file)


request = json.loads(Path(sys.argv[2]).read_text(encoding="utf-8"))
algorithm = QgsApplication.processingRegistry().createAlgorithmById(request["algorithm"])
project, context = QgsProject.instance(), QgsProcessingContext()
context.setProject(project)
feedback = Feedback(request["cancel_after_s"])
context.setFeedback(feedback)
results, is_done = algorithm.run(request["parameters"], context, feedback)
ended = time.monotonic()
if is_done:
    handleAlgorithmResults(algorithm, context, feedback)
if is_done and request["picture"] and not feedback.isCanceled():
    draw(project, request["picture"])
print(json.dumps({
    "done": is_done, "results": results, "messages": feedback.messages, "errors": feedback.errors,
    "steps": feedback.steps, "layers": [shown(node) for node in project.layerTreeRoot().findLayers()],
    "seconds_to_cancel": ended - feedback.cancelled_at if feedback.cancelled_at else None,
}))  # fmt: skip
project.clear()
close()
