"""Mapping of a scene: windows through a runtime, blended and written as products."""
