"""Speed and memory of the local web app."""
