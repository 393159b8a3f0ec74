"""Styles of the rasters of a series for QGIS, as QML documents beside the rasters."""

from xml.sax.saxutils import quoteattr

from floodseg.analysis.series.layers import FREQUENCY, Layer
from floodseg.products.folder import PROBABILITY
from floodseg.products.strips import CLASS_NAMES
from floodseg.products.styles import raster_styles

_CLASSES = """<qgis version="3.18" styleCategories="Symbology">
<pipe><rasterrenderer type="paletted" band="1" opacity="1"><colorPalette>
{}
</colorPalette></rasterrenderer></pipe>
</qgis>
"""


def layer_style(layer: Layer) -> str | None:
    """Return the style of a raster: names and colours of codes, a ramp from 0 to 100 %, or None."""
    if layer == FREQUENCY:
        return raster_styles(CLASS_NAMES)[PROBABILITY]  # the same ramp over percent
    if not layer.format.names:
        return None
    entries = (
        f'<paletteEntry value="{code}" label={quoteattr(name)} alpha="255" '
        f'color="#{bytes(layer.format.colours[code][:3]).hex()}"/>'
        for code, name in layer.format.names.items()
    )
    return _CLASSES.format("\n".join(entries))
