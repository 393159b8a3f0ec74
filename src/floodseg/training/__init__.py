"""Training and honest scoring: losses, metrics, the training loop, evaluation, pictures."""
