"""TensorFlow Lite: models of its files as ONNX models."""
