"""Scores of models and training recipes."""
