# SPDX-License-Identifier: GPL-2.0-or-later
"""QGIS plugin: floodseg in the Processing toolbox."""

from __future__ import annotations

from typing import Any


def classFactory(iface: Any) -> Any:
    """Return the plugin. QGIS calls this function; ``iface`` is None in ``qgis_process``."""
    from .plugin import FloodsegPlugin

    return FloodsegPlugin()
