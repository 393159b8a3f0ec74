"""Export to ONNX and OpenVINO: graph, conversion, quantisation and parity checks."""
