"""Benchmarks of accuracy: scores of models and recipes."""
