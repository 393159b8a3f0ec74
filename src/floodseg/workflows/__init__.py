"""From a place and dates to images of passes and to a map."""
