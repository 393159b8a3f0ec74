"""File names of the products."""

from floodseg.products.folder import DEPTH_PRODUCTS, ITEM, SUMMARY, ProductNames

DEPTH, UNCERTAINTY, WATER_LEVEL, STYLE, PICTURE = DEPTH_PRODUCTS

PRODUCTS = ProductNames((DEPTH, UNCERTAINTY, STYLE, PICTURE, SUMMARY), optional=(WATER_LEVEL, ITEM))
