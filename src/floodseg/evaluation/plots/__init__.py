"""Figures of an evaluation: image panels, curves and reliability diagrams."""
