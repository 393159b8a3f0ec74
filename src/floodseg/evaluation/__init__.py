"""Scores of a model on labelled chips: evaluation, classical baselines, metrics and plots."""
