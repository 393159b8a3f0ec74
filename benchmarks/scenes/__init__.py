"""Benchmarks of maps: tile sizes, real scenes, many scenes."""
