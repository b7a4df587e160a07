"""ONNX models to the graph: read, checked, and converted node by node."""
