"""Run a model of two algorithms on several scenes, and print the depth rasters, as JSON.

usage: run_model.py PLUGINS OUT_DIR DEM SAR...
"""

import json
import sys
from pathlib import Path

from qgis_session import close  # isort: skip
from qgis.core import (
    QgsProcessingContext,
    QgsProcessingFeedback,
    QgsProcessingModelAlgorithm,
    QgsProcessingModelChildAlgorithm,
    QgsProcessingModelChildParameterSource,
    QgsProcessingModelOutput,
    QgsProcessingModelParameter,
    QgsProcessingParameterRasterLayer,
    QgsProject,
)

Source = QgsProcessingModelChildParameterSource


def child(model, name, algorithm, **sources):
    found = QgsProcessingModelChildAlgorithm(algorithm)
    found.setChildId(name)
    for parameter, source in sources.items():
        found.addParameterSources(parameter, [source])
    if name == "depth":
        output = QgsProcessingModelOutput("folder", "folder")
        output.setChildId(name)
        output.setChildOutputName("OUTPUT")
        found.setModelOutputs({"folder": output})
    model.addChildAlgorithm(found)


def make_model():
    model = QgsProcessingModelAlgorithm("depth of a scene", "floodseg")
    for name in ("SAR", "DEM"):
        model.addModelParameter(QgsProcessingParameterRasterLayer(name, name), QgsProcessingModelParameter(name))
    child(model, "map", "floodseg:mapscene", SAR=Source.fromModelParameter("SAR"), MODEL=Source.fromStaticValue("otsu"))
    child(
        model, "depth", "floodseg:depth", FLOOD=Source.fromChildOutput("map", "FLOOD"),
        DEM=Source.fromModelParameter("DEM"),
    )  # fmt: skip
    return model


model = make_model()
found = []
for number, sar in enumerate(sys.argv[4:]):
    context, feedback = QgsProcessingContext(), QgsProcessingFeedback(False)
    context.setProject(QgsProject.instance())
    folder = Path(sys.argv[2]) / str(number)
    values = {"SAR": sar, "DEM": sys.argv[3], "depth:folder": str(folder)}
    results, is_done = model.run(values, context, feedback)
    found.append({"done": is_done, "results": {name: str(value) for name, value in results.items()}})
print(json.dumps(found))
close()
