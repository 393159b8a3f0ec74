"""Training samples: chips, their loader, augmentation and resampling."""
