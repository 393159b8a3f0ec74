"""Layers of a map: area of interest, exclusion, permanent water, slope and cloud masks."""
