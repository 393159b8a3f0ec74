"""Benchmarks: each model runs in its own process, calls are timed in turn, and results are ratios to the baseline."""
