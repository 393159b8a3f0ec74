"""From files to samples: layouts, chips, augmentation and simulated scenes."""
