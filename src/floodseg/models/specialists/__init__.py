"""Models of one sensor beside a fused model, and the cloud detector."""
