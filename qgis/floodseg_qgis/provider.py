# SPDX-License-Identifier: GPL-2.0-or-later
"""Processing provider ``floodseg``, and its setting."""

from __future__ import annotations

from pathlib import Path

from processing.core.ProcessingConfig import ProcessingConfig, Setting
from qgis.core import QgsProcessingProvider
from qgis.PyQt.QtGui import QIcon

from .algorithms import ALGORITHMS
from .interpreter import SETTING

NAME = "floodseg"


class FloodsegProvider(QgsProcessingProvider):
    """Provider of the algorithms that run floodseg in a process of its own."""

    def load(self) -> bool:
        """Add the setting to Settings > Options > Processing > Providers > floodseg, and the algorithms."""
        ProcessingConfig.settingIcons[NAME] = self.icon()
        text = "Python in which floodseg is installed (empty: search for it)"
        ProcessingConfig.addSetting(Setting(NAME, SETTING, text, "", valuetype=Setting.FILE))
        ProcessingConfig.readSettings()
        self.refreshAlgorithms()
        return True

    def unload(self) -> None:
        ProcessingConfig.removeSetting(SETTING)

    def loadAlgorithms(self) -> None:
        for algorithm in ALGORITHMS:
            self.addAlgorithm(algorithm())

    def id(self) -> str:
        return NAME

    def name(self) -> str:
        return NAME

    def longName(self) -> str:
        return "floodseg: flood maps from Sentinel-1 and Sentinel-2"

    def icon(self) -> QIcon:
        return QIcon(str(Path(__file__).with_name("icon.svg")))
