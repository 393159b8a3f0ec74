"""Files, environment and progress bars."""
