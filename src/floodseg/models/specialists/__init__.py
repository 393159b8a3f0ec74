"""Multi-sensor model: single-sensor models beside a fused one, the router between them, and the cloud detector."""
