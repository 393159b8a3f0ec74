"""Settings of each command as frozen dataclasses: run-file keys, flags and Python arguments at once."""
