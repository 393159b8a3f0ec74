"""Styles of the rasters and of the polygons for QGIS, as QML documents.

QGIS applies ``NAME.qml`` to the raster of the same name beside it, and the styles in the table ``layer_styles`` to the
layers of a GeoPackage. Colours and names are those of ``flood.tif``.
"""

from collections.abc import Mapping
from xml.sax.saxutils import quoteattr

from floodseg.products.cog import COLOURS
from floodseg.products.folder import CLASSES, PROBABILITY
from floodseg.products.strips import FLOOD, LAND, NODATA

# the version is the oldest release that reads these documents; newer ones read them, too
_DOCUMENT = '<qgis version="3.18" styleCategories="Symbology">\n{}\n</qgis>\n'
_CLASSES = """<pipe><rasterrenderer type="paletted" band="1" opacity="1"><colorPalette>
{}
</colorPalette></rasterrenderer></pipe>"""
_RAMP = """<pipe><rasterrenderer type="singlebandpseudocolor" band="1" opacity="1" classificationMin="0"
    classificationMax="100"><rastershader><colorrampshader colorRampType="INTERPOLATED" classificationMode="1" clip="0"
    minimumValue="0" maximumValue="100">
<colorramp name="[source]" type="gradient"><Option type="Map">
{}
</Option></colorramp>
{}
</colorrampshader></rastershader></rasterrenderer></pipe>"""
_POLYGONS = """<renderer-v2 type="singleSymbol"><symbols><symbol type="fill" name="0" alpha="1">
<layer class="SimpleFill" enabled="1"><Option type="Map">
{}
</Option></layer></symbol></symbols></renderer-v2>"""
_OUTLINE_MM = 0.1
"""Width of the outline of polygons, in the colour of their area: small polygons stay visible at small scales."""
_ZONES = """<qgis version="3.18" styleCategories="Symbology|Labeling" labelsEnabled="1">
{}
<labeling type="simple"><settings calloutType="simple">
<text-style fieldName={} isExpression="1" fontSize="9" fontSizeUnit="Point" textColor="0,0,0,255">
<text-buffer bufferDraw="1" bufferSize="1" bufferSizeUnits="MM" bufferColor="255,255,255,255" bufferOpacity="1"/>
</text-style><placement placement="1" quadOffset="4" priority="5"/></settings></labeling>
</qgis>
"""
_ZONE_OUTLINE_MM = 0.4


def raster_styles(names: Mapping[int, str]) -> dict[str, str]:
    """Return the style of each raster by its file name; ``names`` are the class names by code.

    The style of the probability is a linear ramp over its valid values 0 to 100, from the colour of land to that of
    flood.
    """
    palette = [_entry("paletteEntry", code, name, code) for code, name in names.items() if code != NODATA]
    ramp = [_entry("item", percent, f"{percent} %", code) for percent, code in ((0, LAND), (100, FLOOD))]
    ends = _options({"color1": _colour_text(LAND), "color2": _colour_text(FLOOD)})
    return {
        CLASSES: _DOCUMENT.format(_CLASSES.format("\n".join(palette))),
        PROBABILITY: _DOCUMENT.format(_RAMP.format(ends, "\n".join(ramp))),
    }


def polygon_style(code: int) -> str:
    """Return the style of a polygon layer: areas in the colour of a class."""
    options = {
        "color": _colour_text(code), "style": "solid", "outline_color": _colour_text(code), "outline_style": "solid",
        "outline_width": str(_OUTLINE_MM), "outline_width_unit": "MM",
    }  # fmt: skip
    return _DOCUMENT.format(_POLYGONS.format(_options(options)))


def zone_style(label: str) -> str:
    """Return the style of a layer of zones: outlines, through which other layers are seen, and labels.

    Args:
        label: QGIS expression for the text of the labels.
    """
    options = {
        "style": "no", "outline_color": "64,64,64,255", "outline_style": "solid",
        "outline_width": str(_ZONE_OUTLINE_MM), "outline_width_unit": "MM",
    }  # fmt: skip
    return _ZONES.format(_POLYGONS.format(_options(options)), quoteattr(label))


def _entry(tag: str, value: int, label: str, code: int) -> str:
    colour = bytes(COLOURS[code][:3]).hex()
    return f'<{tag} value="{value}" label={quoteattr(label)} alpha="255" color="#{colour}"/>'


def _options(values: Mapping[str, str]) -> str:
    return "\n".join(f'<Option type="QString" name="{name}" value="{value}"/>' for name, value in values.items())


def _colour_text(code: int) -> str:
    return ",".join(map(str, COLOURS[code]))
