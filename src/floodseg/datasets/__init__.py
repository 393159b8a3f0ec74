"""Layouts of labelled data sets."""
