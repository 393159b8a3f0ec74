"""Places, STAC catalogues, and search for satellite passes over an area."""
