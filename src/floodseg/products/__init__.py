"""Products of a map: rasters, polygons, STAC item, quicklook and summary."""
