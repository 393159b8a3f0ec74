"""Checkpoints, their descriptions and the list of shipped models."""
