"""Segmentation models: SAR in dB and optical reflectance in, logits for land and water out."""
