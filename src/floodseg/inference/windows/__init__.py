"""Sliding windows over a scene: model calls, blending and progress."""
