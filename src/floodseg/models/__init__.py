"""Segmentation models: radar in dB and optical reflectance in, logits for land and water out."""
