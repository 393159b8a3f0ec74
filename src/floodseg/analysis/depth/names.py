"""File names of the products."""

from floodseg.products.folder import ITEM, SUMMARY, ProductNames

DEPTH = "depth.tif"
UNCERTAINTY = "depth_uncertainty.tif"
WATER_LEVEL = "water_level.tif"
STYLE = "depth.qml"
PICTURE = "depth.png"

PRODUCTS = ProductNames((DEPTH, UNCERTAINTY, STYLE, PICTURE, SUMMARY), optional=(WATER_LEVEL, ITEM))
