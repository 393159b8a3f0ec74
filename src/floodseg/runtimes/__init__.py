"""PyTorch, ONNX Runtime, OpenVINO and the classical methods behind one call."""
