"""Checkpoints, their description, and the list of shipped weights."""
