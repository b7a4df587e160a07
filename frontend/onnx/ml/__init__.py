"""The operators of the domain ai.onnx.ml: trees, linear models, support vectors, encoders."""
