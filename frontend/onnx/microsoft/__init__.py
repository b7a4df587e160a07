"""Operators of ONNX Runtime's own domain, spelled by ONNX's before anything else sees them."""
