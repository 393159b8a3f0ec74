"""Labelled data sets: layouts, screening of chips, download."""
