"""Counts per pixel and the ratios, calibration and intervals made of them."""
