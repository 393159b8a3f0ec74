"""Benchmark scripts of floodseg, and their results."""
