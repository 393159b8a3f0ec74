"""Colours of the depth, and the style of ``depth.tif`` for QGIS."""

from floodseg.analysis.depth.totals import DEPTH_LIMITS

DEPTH_COLOURS = ((189, 215, 231), (107, 174, 214), (49, 130, 189), (8, 81, 156), (8, 29, 88))
"""RGB of the depth classes, from shallow to deep (Brewer's sequential blues)."""

_STYLE = """<qgis version="3.18" styleCategories="Symbology">
<pipe><rasterrenderer type="singlebandpseudocolor" band="1" opacity="1" classificationMin="0" classificationMax="inf">
<rasterTransparency><singleValuePixelList>
<pixelListEntry min="0" max="0" percentTransparent="100"/>
</singleValuePixelList></rasterTransparency>
<rastershader><colorrampshader colorRampType="DISCRETE" classificationMode="1" clip="0" minimumValue="0"
    maximumValue="inf">
{}
</colorrampshader></rastershader></rasterrenderer></pipe>
</qgis>
"""


def class_labels() -> list[str]:
    """Return the label of each depth class, from shallow to deep."""
    limits = [f"{limit:g}" for limit in DEPTH_LIMITS]
    between = [f"{low} to {high} m" for low, high in zip(["0", *limits[:-1]], limits, strict=True)]
    return [*between, f"over {limits[-1]} m"]


def depth_style() -> str:
    """Return the QML document: one colour per depth class, and nothing where the depth is 0."""
    limits = [*(f"{limit:g}" for limit in DEPTH_LIMITS), "inf"]
    items = [
        f'<item value="{limit}" label="{label}" alpha="255" color="#{bytes(colour).hex()}"/>'
        for limit, label, colour in zip(limits, class_labels(), DEPTH_COLOURS, strict=True)
    ]
    return _STYLE.format("\n".join(items))
