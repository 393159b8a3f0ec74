"""Geometry of pixel grids: grids, tiles, affine transforms, warping and pixel footprints."""
