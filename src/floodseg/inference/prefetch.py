"""Imports what only finished rows need while the first of them are mapped: half a second for a small scene."""

from importlib import import_module
from threading import Thread

_LATE = ("floodseg.products.geopackage", "floodseg.products.quicklook")
"""Modules with pandas, SciPy and Matplotlib behind them; who uses them imports them in the function."""


def import_beside() -> None:
    """Begin to import them in a thread; an import of the same module elsewhere waits for it."""
    Thread(target=lambda: [import_module(name) for name in _LATE], name="imports").start()
