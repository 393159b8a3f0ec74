"""Benchmarks of time and memory: training, loading and inference."""
