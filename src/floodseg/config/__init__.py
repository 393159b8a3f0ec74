"""Settings of each command: frozen dataclasses that define flags, run-file keys and Python arguments."""
