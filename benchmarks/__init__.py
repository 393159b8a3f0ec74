"""Scripts that measure floodseg, and their results."""
