"""Print the parameters of all algorithms of the plugin with their flags and values, as JSON.

usage: run_describe.py PLUGINS
"""

import json

from qgis_session import close  # isort: skip
from qgis.core import QgsApplication


def described(option):
    definition = option.definition
    return {
        "name": definition.name(), "flag": option.flag, "is_switch": option.is_switch, "help": definition.help(),
        "choices": definition.options() if definition.type() == "enum" else [],
    }  # fmt: skip


found = {}
for algorithm in QgsApplication.processingRegistry().providerById("floodseg").algorithms():
    instance = algorithm.create()
    found[algorithm.id()] = {
        "command": instance.COMMAND, "help": instance.shortHelpString(), "icon": not instance.icon().isNull(),
        "can_execute": instance.canExecute()[0], "options": [described(option) for option in instance._options],
    }  # fmt: skip
print(json.dumps(found))
close()
