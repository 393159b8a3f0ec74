"""Simulated terrain, sensors and clouds, and the scene of the demo."""
