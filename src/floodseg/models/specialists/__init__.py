"""Multi-sensor model: a fused network, a specialist for each sensor, a router and a cloud detector."""
