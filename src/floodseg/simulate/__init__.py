"""Simulation of terrain, sensors and clouds, and the demo scene."""
