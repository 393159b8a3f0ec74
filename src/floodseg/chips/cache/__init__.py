"""Cache of decoded chips."""
