"""Measurements side by side: every configuration in a process of its own, timed in turn, compared by ratios."""
