"""Training loop, losses, distillation, run folder and resume."""
