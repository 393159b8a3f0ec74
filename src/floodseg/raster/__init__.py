"""Reader from a raster file to physical numbers and validity."""
