"""Scenes: images of both sensors on one grid, read by windows."""
