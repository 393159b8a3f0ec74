"""Encoders from timm and their pretrained weights."""
