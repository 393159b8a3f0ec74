"""Benchmarks: every configuration in a process of its own, timed interleaved, compared by ratios."""
