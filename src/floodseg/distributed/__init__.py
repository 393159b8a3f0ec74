"""Training and evaluation in several processes."""
