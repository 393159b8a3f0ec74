# SPDX-License-Identifier: GPL-2.0-or-later
"""The plugin: adds the provider to the Processing toolbox."""

from __future__ import annotations

from qgis.core import QgsApplication

from .provider import FloodsegProvider


class FloodsegPlugin:
    """Plugin with a Processing provider and no other user interface."""

    def __init__(self) -> None:
        self.provider = None

    def initProcessing(self) -> None:
        """Add the provider. ``qgis_process`` calls this method alone."""
        self.provider = FloodsegProvider()
        QgsApplication.processingRegistry().addProvider(self.provider)

    def initGui(self) -> None:
        self.initProcessing()

    def unload(self) -> None:
        QgsApplication.processingRegistry().removeProvider(self.provider)
