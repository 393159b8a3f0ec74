"""Time and memory of training, loading and inference."""
