"""Search for clouds in optical images."""
