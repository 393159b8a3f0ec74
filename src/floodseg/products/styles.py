"""Styles of the rasters and of the polygons for QGIS, as QML documents.

QGIS applies ``NAME.qml`` to the raster of the same name beside it, and the styles in the table ``layer_styles`` to the
layers of a GeoPackage. Colours and names are those of ``flood.tif``.
"""

from collections.abc import Mapping
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from floodseg.products.cog import COLOURS
from floodseg.products.folder import CLASSES, PROBABILITY
from floodseg.products.strips import FLOOD, LAND, NODATA

# the oldest release that reads these documents; newer ones read them, too
_VERSION = "3.18"
_OUTLINE_MM = 0.1
"""Width of the outline of polygons, in the colour of their area: small polygons stay visible on small scales."""


def raster_styles(names: Mapping[int, str]) -> dict[str, str]:
    """Return the style of each raster by its file name; ``names`` are the class names by code."""
    return {CLASSES: _class_style(names), PROBABILITY: _probability_style()}


def _class_style(names: Mapping[int, str]) -> str:
    root, renderer = _raster_document("paletted")
    palette = SubElement(renderer, "colorPalette")
    for code, name in names.items():
        if code != NODATA:
            SubElement(palette, "paletteEntry", value=str(code), label=name, alpha="255", color=_hexadecimal(code))
    return _text(root)


def _probability_style() -> str:
    """Return a linear ramp over the valid values 0 to 100, from the colour of land to the colour of flood."""
    root, renderer = _raster_document("singlebandpseudocolor")
    renderer.attrib.update(classificationMin="0", classificationMax="100")
    ramp = SubElement(
        SubElement(renderer, "rastershader"), "colorrampshader", colorRampType="INTERPOLATED", classificationMode="1",
        clip="0", minimumValue="0", maximumValue="100",
    )  # fmt: skip
    options = SubElement(SubElement(ramp, "colorramp", name="[source]", type="gradient"), "Option", type="Map")
    for name, code in (("color1", LAND), ("color2", FLOOD)):
        _add_option(options, name, _numbers(code))
    for percent, code in ((0, LAND), (100, FLOOD)):
        SubElement(ramp, "item", value=str(percent), label=f"{percent} %", alpha="255", color=_hexadecimal(code))
    return _text(root)


def polygon_style(code: int) -> str:
    """Return the style of a polygon layer: areas in the colour of a class."""
    root = Element("qgis", version=_VERSION, styleCategories="Symbology")
    symbols = SubElement(SubElement(root, "renderer-v2", type="singleSymbol"), "symbols")
    symbol = SubElement(symbols, "symbol", type="fill", name="0", alpha="1")
    layer = SubElement(symbol, "layer", {"class": "SimpleFill", "enabled": "1"})
    options = SubElement(layer, "Option", type="Map")
    for name, value in {
        "color": _numbers(code), "style": "solid", "outline_color": _numbers(code), "outline_style": "solid",
        "outline_width": str(_OUTLINE_MM), "outline_width_unit": "MM",
    }.items():  # fmt: skip
        _add_option(options, name, value)
    return _text(root)


def _raster_document(renderer: str) -> tuple[Element, Element]:
    """Return the root element of a raster style, and its renderer."""
    root = Element("qgis", version=_VERSION, styleCategories="Symbology")
    pipe = SubElement(root, "pipe")
    return root, SubElement(pipe, "rasterrenderer", type=renderer, band="1", opacity="1")


def _add_option(options: Element, name: str, value: str) -> None:
    SubElement(options, "Option", type="QString", name=name, value=value)


def _hexadecimal(code: int) -> str:
    return "#" + bytes(COLOURS[code][:3]).hex()


def _numbers(code: int) -> str:
    return ",".join(map(str, COLOURS[code]))


def _text(root: Element) -> str:
    indent(root)
    return tostring(root, encoding="unicode") + "\n"
