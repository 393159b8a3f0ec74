"""Networks: efficient, lite and the baseline."""
