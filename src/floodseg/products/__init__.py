"""Products of a flood map: rasters, polygons, STAC item, quicklook and summary."""
