"""Pixel counts, and ratios, calibration and confidence intervals computed from them."""
