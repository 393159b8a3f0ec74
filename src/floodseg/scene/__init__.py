"""Both sensors on one grid, read by windows."""
