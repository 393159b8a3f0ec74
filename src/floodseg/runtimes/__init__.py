"""PyTorch, ONNX Runtime, OpenVINO and classical baselines behind one protocol."""
