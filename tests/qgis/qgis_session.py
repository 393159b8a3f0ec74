"""QGIS with Processing and the plugin, for scripts that the Python of the distribution runs.

The first argument of the script is the folder of plugins.
"""

import sys

from qgis.core import QgsApplication

sys.path[:0] = ["/usr/share/qgis/python/plugins", sys.argv[1]]
QgsApplication.setPrefixPath("/usr", True)
application = QgsApplication([], False)
application.initQgis()

from processing.core.Processing import Processing  # noqa: E402

import floodseg_qgis  # noqa: E402

Processing.initialize()
plugin = floodseg_qgis.classFactory(None)
plugin.initProcessing()


def close():
    plugin.unload()
    application.exitQgis()
