"""Layers of a scene: area of interest, exclusions, steep ground and permanent water."""
