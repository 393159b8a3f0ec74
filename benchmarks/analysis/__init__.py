"""Benchmarks of the analyses of finished maps."""
